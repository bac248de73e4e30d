//! Whose packets were dropped (`DROPS`): counts by service and reason.

use bytemuck::{Pod, Zeroable};

/// Key of `DROPS`; the value is a count (u64).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
pub struct DropKey {
    /// The service's id.
    pub service: u32,
    /// A [`Counter`](crate::Counter).
    pub reason: u32,
}

const _: () = assert!(size_of::<DropKey>() == 8);

#[cfg(feature = "user")]
// SAFETY: `bytemuck::Pod` is derived, hence any bit pattern is valid and there is no padding.
unsafe impl aya::Pod for DropKey {}
