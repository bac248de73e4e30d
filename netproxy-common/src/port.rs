//! The source ports of translated sources (`PORTS_*`), per destination ([`FrontendKey`], an endpoint's).
//!
//! [`FrontendKey`]: crate::FrontendKey

use bytemuck::{Pod, Zeroable};

/// Value of `PORTS_*`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Ports {
    /// Where in the cycle the search goes on: behind the port that was taken last.
    pub position: u32,
    /// How many flows got none. Two CPUs that count at once may count one.
    pub exhausted: u32,
}

#[cfg(feature = "user")]
// SAFETY: `Pod`, which asks for more.
unsafe impl aya::Pod for Ports {}
