//! Which pods are balanced at the socket, where they may opt out. A process is told by the cgroup of
//! its pod, which is the one that it is in or an ancestor of that.

use aya_ebpf::helpers::bpf_get_current_ancestor_cgroup_id;
use netproxy_common::CGROUP_LEVELS;

use crate::config;
use crate::maps::SOCKET_CLIENTS;
use crate::socket::Call;

/// Whether the call is balanced, as far as its pod is concerned. A pod that is not known is not.
#[inline(always)]
pub(crate) fn is_balanced(call: Call) -> bool {
    !config::has_opt_out() || call.is_host() || is_in_client()
}

/// Whether the running process is in one of `SOCKET_CLIENTS`.
#[inline(never)]
fn is_in_client() -> bool {
    // The root has level zero.
    for level in 1..=CGROUP_LEVELS {
        // SAFETY: no pointers. Zero: the process's own cgroup was the last.
        let cgroup = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        if cgroup == 0 {
            return false;
        }
        // SAFETY: only whether it is there is looked at.
        if unsafe { SOCKET_CLIENTS.get(&cgroup) }.is_some() {
            return true;
        }
    }
    false
}
