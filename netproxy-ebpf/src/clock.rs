//! The clock of flow deadlines.

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;

/// Seconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn now_s() -> u32 {
    // SAFETY: no arguments.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    (now_ns / 1_000_000_000) as u32
}
