//! Frontends: the addresses and ports that clients of a service talk to (`FRONTENDS_*`).

use bytemuck::{Pod, Zeroable};

use crate::plain_data;
use crate::{Be16, Ipv4, Ipv6};

/// Key of `FRONTENDS_*`. NodePorts are stored once, under the unspecified address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontendKey<A> {
    /// Destination address, or unspecified for a NodePort.
    pub address: A,
    /// Destination port.
    pub port: Be16,
    /// IP protocol number.
    pub protocol: u8,
    /// Always zero.
    pub pad: u8,
}

plain_data! { FrontendKey<Ipv4> => 8, FrontendKey<Ipv6> => 20 }

/// Value of `FRONTENDS_*`: which service answers, and as what.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Frontend {
    /// Index into `SERVICES`.
    pub service: u32,
    /// A [`FrontendKind`].
    pub kind: u8,
    /// Always zero.
    pub pad: [u8; 3],
}

#[cfg(feature = "user")]
// SAFETY: `bytemuck::Pod` is derived, hence any bit pattern is valid and there is no padding.
unsafe impl aya::Pod for Frontend {}

/// How a frontend came to be; decides between the internal and the external windows.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKind {
    /// `spec.clusterIPs`: the internal traffic policy counts.
    ClusterIp = 0,
    /// `spec.ports[].nodePort`.
    NodePort = 1,
    /// `status.loadBalancer.ingress[].ip`; source ranges count.
    LoadBalancer = 2,
    /// `spec.externalIPs`.
    ExternalIp = 3,
}

impl FrontendKind {
    /// The kind whose number is `value`, if any.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::ClusterIp),
            1 => Some(Self::NodePort),
            2 => Some(Self::LoadBalancer),
            3 => Some(Self::ExternalIp),
            _ => None,
        }
    }
}
