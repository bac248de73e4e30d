//! How flows come and go (`TURNOVER`, `PENDING_UNTIL`), both by the number of the family: zero for IPv4, one for IPv6.

use bytemuck::{Pod, Zeroable};

/// Value of `TURNOVER`, of one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Turnover {
    /// Flows in `FLOWS_*` that it has opened and no client has confirmed, nearly: another CPU may have seen the
    /// confirmation, and user space puts it right with each walk of the table.
    pub opening: u32,
    /// Where the next flow that it closes is noted.
    pub closed: u32,
}

/// Value of `PENDING_UNTIL`: when the last deadline of what is in `PENDING_*` passes, in seconds of `CLOCK_MONOTONIC`.
/// Until then packets are looked for there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct PendingUntil {
    /// Of opening and closing flows.
    pub passing_s: u32,
    /// Of established flows, for which `FLOWS_*` had no room. A word of its own: CPUs that store into the same one are
    /// never more than their clocks apart.
    pub established_s: u32,
}

/// How many closed flows of each family wait for stray segments, at most. Each CPU has its part.
pub const CLOSED_FLOWS: u32 = 65_536;

const _: () = assert!(size_of::<Turnover>() == 8 && size_of::<PendingUntil>() == 8);

#[cfg(feature = "user")]
// SAFETY: `bytemuck::Pod` is derived, hence any bit pattern is valid and there is no padding.
unsafe impl aya::Pod for Turnover {}
#[cfg(feature = "user")]
// SAFETY: as above.
unsafe impl aya::Pod for PendingUntil {}
