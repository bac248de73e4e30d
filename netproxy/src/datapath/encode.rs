//! From the plan's values to the maps' and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netproxy_common::address::Address;
use netproxy_common::{Be16, Endpoint, EndpointFlags, Ipv4, Ipv6};

use crate::plan::WantedEndpoint;

/// An address of the maps that stands for one of the plan's.
pub(super) trait Encode: Address {
    /// None: the other family.
    fn from_ip(address: &IpAddr) -> Option<Self>;
    /// The inverse.
    fn to_ip(&self) -> IpAddr;
}

impl Encode for Ipv4 {
    fn from_ip(address: &IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(Self::new(address.octets())),
            IpAddr::V6(_) => None,
        }
    }

    fn to_ip(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(self.octets))
    }
}

impl Encode for Ipv6 {
    fn from_ip(address: &IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Self::new(address.octets())),
        }
    }

    fn to_ip(&self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self.octets))
    }
}

/// The endpoints as they stand in `ENDPOINTS_*`; those of the other family are left out.
pub(super) fn endpoints<A: Encode>(wanted: &[WantedEndpoint]) -> Vec<Endpoint<A>> {
    wanted
        .iter()
        .filter_map(|endpoint| {
            Some(Endpoint {
                address: A::from_ip(&endpoint.address)?,
                port: Be16::new(endpoint.port),
                flags: if endpoint.is_local {
                    EndpointFlags::LOCAL
                } else {
                    0
                },
            })
        })
        .collect()
}
