//! The moment in which no flow is opened: user space copies the flow table for programs that keep theirs in other maps,
//! and what began meanwhile would be unknown to them. Sockets are left on the wire, for the same reason.
//!
//! It is a deadline, so that it passes even if nobody takes it back.

use crate::clock::now_ns;
use crate::maps::PAUSE;

/// Whether it is now.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    // SAFETY: a live, aligned word, which user space stores whole.
    let until_ns = PAUSE
        .get_ptr(0)
        .map_or(0, |until_ns| unsafe { until_ns.read_volatile() });
    until_ns != 0 && now_ns() < until_ns
}
