//! Whose packets are dropped: counts by service, where the service is known. The counts by reason alone
//! (`COUNTERS`) are of all packets.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::bindings::BPF_NOEXIST;
use netproxy_common::{Counter, DropKey, Flow};

use crate::family::Family;
use crate::hooks::Verdict;
use crate::maps::DROPS;

/// Takes note of `verdict` if it drops a packet of `service`.
#[inline(always)]
pub(crate) fn of_service(service: u32, verdict: Verdict) -> Verdict {
    if let Some(reason) = verdict.reason() {
        note(service, reason);
    }
    verdict
}

/// The same, of a packet that `flow` translates.
#[inline(always)]
pub(crate) fn of_flow<F: Family>(flow: &Flow<F::Address>, verdict: Verdict) -> Verdict {
    let Some(reason) = verdict.reason() else {
        return verdict;
    };
    note(flow.service, reason);
    let Some(opening) = F::openings().get_ptr_mut(0) else {
        return verdict;
    };
    // SAFETY: this CPU's room; a packet of a flow opens none, and programs at tc hooks do not nest.
    unsafe { (*opening).flow = *flow };
    verdict.of_known_flow()
}

/// Takes note that a socket was refused `service`.
#[inline(always)]
pub(crate) fn of_socket(service: u32) {
    note(service, Counter::SocketRefused as u32);
}

#[inline(never)]
fn note(service: u32, reason: u32) {
    let key = DropKey { service, reason };
    if let Some(count) = DROPS.get_ptr_mut(&key) {
        // SAFETY: a live, aligned u64. If the entry was recycled meanwhile, another count is one too high.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
        return;
    }
    // Lost where another CPU is first: one count too few.
    let _ = DROPS.insert(&key, &1, u64::from(BPF_NOEXIST));
}
