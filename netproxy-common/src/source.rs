//! Which addresses packets are sent from (`SOURCES`, by the ifindex of the device that they leave by).
//! Read where `bpf_fib_lookup` cannot tell: `BPF_FIB_LOOKUP_SRC` needs Linux 6.7.

use bytemuck::{Pod, Zeroable};

use crate::{Ipv4, Ipv6};

/// Value of `SOURCES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Source {
    /// Unspecified: neither the device nor the node has an address of the family.
    pub v4: Ipv4,
    /// As `v4`.
    pub v6: Ipv6,
}

const _: () = assert!(size_of::<Source>() == 20);

#[cfg(feature = "user")]
// SAFETY: `bytemuck::Pod` is derived, hence any bit pattern is valid and there is no padding.
unsafe impl aya::Pod for Source {}

/// The key for devices that have no entry of their own; no device has this index.
pub const ANY_DEVICE: u32 = 0;
