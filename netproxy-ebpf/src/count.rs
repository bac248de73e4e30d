//! Counting.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use netproxy_common::Counter;

use crate::maps::COUNTERS;

/// Adds one to `counter` on this CPU.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    count_index(counter as u32);
}

/// As `count`, by the counter's number.
#[inline(always)]
pub(crate) fn count_index(index: u32) {
    if let Some(slot) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the slot is a live, aligned per-CPU u64; the addition is atomic, because a
        // program at another hook may interrupt this one on the same CPU.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(slot, 1) };
    }
}
