//! How many errors are sent at most.

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;

use crate::maps::REFUSALS;

/// One error a millisecond on each CPU, and as many at once as come together in a burst; the kernel
/// sends as many (`icmp_msgs_per_sec`, `icmp_msgs_burst`).
const INTERVAL_NS: u64 = 1_000_000;
const BURST: u64 = 50;

/// A leaky bucket: each error moves the time at which the bucket is empty on by one interval.
#[inline(always)]
pub(super) fn is_within_limit() -> bool {
    let Some(empty_ns) = REFUSALS.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: no arguments; a live word of this CPU.
    unsafe {
        let now_ns = bpf_ktime_get_coarse_ns();
        let start_ns = if *empty_ns > now_ns {
            *empty_ns
        } else {
            now_ns
        };
        if start_ns > now_ns + BURST * INTERVAL_NS {
            return false;
        }
        *empty_ns = start_ns + INTERVAL_NS;
    }
    true
}
