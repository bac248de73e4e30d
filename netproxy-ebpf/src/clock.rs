//! The clock of flow deadlines.

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;

/// Seconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn now_s() -> u32 {
    (now_ns() / 1_000_000_000) as u32
}

/// Nanoseconds of `CLOCK_MONOTONIC`, a few milliseconds late at most.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_coarse_ns() }
}
