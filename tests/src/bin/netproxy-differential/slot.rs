//! Where a service of a case is: every one that is served at a time has a slot of its own, with cluster
//! IPs, an external IP, a load balancer's address and node ports that no other slot has.
//!
//! Slots are taken in turn, so that one is used again only when connections through it are long
//! forgotten.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::case::{Family, Port};

/// How many there are.
pub(crate) const SLOTS: u16 = 240;
/// How many node ports each has, and so the most ports of a service at any time of its life.
pub(crate) const NODE_PORTS: u16 = 8;
/// The networks that the addresses are from, besides those of the cluster IPs.
pub(crate) const OUTER_NETWORKS: [&str; 4] = [
    "198.51.100.0/24",
    "203.0.113.0/24",
    "2001:db8:1::/64",
    "2001:db8:2::/64",
];

/// Above what the API server takes by itself from the range of node ports.
const FIRST_NODE_PORT: u16 = 30_000;
const FIRST_HEALTH_CHECK_PORT: u16 = 32_200;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The slot of this number; numbers go round.
    pub(crate) fn of(number: u64) -> Self {
        Self(u16::try_from(number % u64::from(SLOTS)).unwrap_or_default())
    }

    /// The name of its Service.
    pub(crate) fn name(self) -> String {
        format!("s{:03}", self.0)
    }

    pub(crate) fn cluster_ip(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(10, 96, 1, self.low()).into(),
            Family::V6 => v6([0xfd10, 0x96, 0, 0], 0x100 + self.0),
        }
    }

    /// An address of the same range that nobody has.
    pub(crate) fn free_cluster_ip(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(10, 96, 200, self.low()).into(),
            Family::V6 => v6([0xfd10, 0x96, 0, 0], 0x1000 + self.0),
        }
    }

    pub(crate) fn vip(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(198, 51, 100, self.low()).into(),
            Family::V6 => v6([0x2001, 0xdb8, 1, 0], self.0 + 1),
        }
    }

    pub(crate) fn external_ip(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(203, 0, 113, self.low()).into(),
            Family::V6 => v6([0x2001, 0xdb8, 2, 0], self.0 + 1),
        }
    }

    pub(crate) fn node_port(self, port: &Port) -> u16 {
        FIRST_NODE_PORT + self.0 * NODE_PORTS + port.place
    }

    pub(crate) fn health_check_port(self) -> u16 {
        FIRST_HEALTH_CHECK_PORT + self.0
    }

    fn low(self) -> u8 {
        u8::try_from(self.0 + 1).unwrap_or_default()
    }
}

fn v6([a, b, c, d]: [u16; 4], low: u16) -> IpAddr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, low).into()
}
