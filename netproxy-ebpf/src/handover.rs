//! What user space says about another proxy on this node, whose connections are left to it.

use netproxy_common::handover::HandoverFlags;

use crate::maps::HANDOVER;

/// Whether datagrams of flows that are not known are another proxy's.
#[inline(always)]
pub(crate) fn leaves_datagrams() -> bool {
    has(HandoverFlags::LEAVES_DATAGRAMS)
}

/// Whether TCP segments of connections that are not known are nobody's.
#[inline(always)]
pub(crate) fn resets_unknown() -> bool {
    has(HandoverFlags::RESETS_UNKNOWN)
}

#[inline(always)]
fn has(flag: u32) -> bool {
    // SAFETY: a live, aligned word, which user space stores whole.
    HANDOVER
        .get_ptr(0)
        .is_some_and(|bits| unsafe { bits.read_volatile() } & flag != 0)
}
