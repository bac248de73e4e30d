//! Who has which address in a lab. Every lab uses the same ones.
//!
//! | what | IPv4 | IPv6 |
//! |---|---|---|
//! | underlay, and its gateway | `172.31.0.0/24`, `.1` | `fd31::/64`, `::1` |
//! | second underlay, and its gateway | `172.31.1.0/24`, `.1` | `fd31:0:0:1::/64`, `::1` |
//! | node *n* (from 1) | `172.31.0.(10+n)` | `fd31::(10+n)` |
//! | its second NIC | `172.31.1.(10+n)` | `fd31:0:0:1::(10+n)` |
//! | client *n* (from 1) | `172.31.0.(100+n)` | `fd31::(100+n)` |
//! | pods of node *n* | `10.244.n.0/24` | `fd10:244:n::/64` |
//! | all pods | `10.244.0.0/16` | `fd10:244::/32` |
//!
//! In IPv6 addresses the decimal digits are kept: node 1 is `fd31::11`, client 1 `fd31::101`, and
//! node 12's pods are in `fd10:244:12::/64`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// All pods of all nodes, IPv4.
pub const CLUSTER_V4: &str = "10.244.0.0/16";
/// All pods of all nodes, IPv6.
pub const CLUSTER_V6: &str = "fd10:244::/32";
/// The underlay's gateway, IPv4.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 1);
/// The underlay's gateway, IPv6.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd31, 0, 0, 0, 0, 0, 0, 1);
/// The second underlay's gateway.
pub const SECOND_GATEWAY: Addresses = Addresses {
    v4: Ipv4Addr::new(172, 31, 1, 1),
    v6: Ipv6Addr::new(0xfd31, 0, 0, 1, 0, 0, 0, 1),
};
/// The length of the underlay's IPv4 prefix.
pub const UNDERLAY_V4_LENGTH: u8 = 24;
/// The length of the underlay's IPv6 prefix.
pub const UNDERLAY_V6_LENGTH: u8 = 64;
/// The most nodes a lab has room for, and the most clients.
pub const MOST_NODES: u8 = 89;
/// The most pods a node has room for.
pub const MOST_PODS: u8 = 250;

/// The two addresses of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl Addresses {
    /// Both, IPv4 first.
    #[must_use]
    pub fn both(self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }
}

/// The `InternalIP`s of node `number` (from 1).
pub(crate) fn of_node(number: u8) -> Addresses {
    on_underlay(0, 10 + number)
}

/// The addresses of the second NIC of node `number`.
pub(crate) fn of_second_nic(number: u8) -> Addresses {
    on_underlay(1, 10 + number)
}

/// The addresses of client `number` (from 1).
pub(crate) fn of_client(number: u8) -> Addresses {
    on_underlay(0, 100 + number)
}

fn on_underlay(underlay: u8, host: u8) -> Addresses {
    let v6 = [0xfd31, 0, 0, underlay.into(), 0, 0, 0, decimal_as_hex(host)];
    Addresses {
        v4: Ipv4Addr::new(172, 31, underlay, host),
        v6: v6.into(),
    }
}

/// Where the pods of one node are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodCidrs {
    /// `10.244.n.0/24`.
    pub v4: Ipv4Net,
    /// `fd10:244:n::/64`.
    pub v6: Ipv6Net,
}

impl PodCidrs {
    pub(crate) fn of_node(number: u8) -> Self {
        let v4 = Ipv4Addr::new(10, 244, number, 0);
        let v6 = Ipv6Addr::new(0xfd10, 0x244, decimal_as_hex(number), 0, 0, 0, 0, 0);
        Self {
            v4: Ipv4Net::new_assert(v4, 24),
            v6: Ipv6Net::new_assert(v6, 64),
        }
    }

    /// The network's own address: what flannel gives its device.
    pub(crate) fn network(self) -> Addresses {
        Addresses {
            v4: self.v4.network(),
            v6: self.v6.network(),
        }
    }

    /// The first address: the gateway of a bridge.
    pub(crate) fn gateway(self) -> Addresses {
        self.host(1)
    }

    /// The addresses of pod `number` (from 1), after the gateway's.
    pub(crate) fn pod(self, number: u8) -> Addresses {
        self.host(number + 1)
    }

    fn host(self, host: u8) -> Addresses {
        let [a, b, c, _] = self.v4.network().octets();
        let mut v6 = self.v6.network().segments();
        v6[7] = decimal_as_hex(host);
        Addresses {
            v4: Ipv4Addr::new(a, b, c, host),
            v6: v6.into(),
        }
    }
}

/// 12 becomes 0x12, so that an IPv6 address reads like the IPv4 one beside it.
fn decimal_as_hex(number: u8) -> u16 {
    let number = u16::from(number);
    ((number / 100) << 8) | ((number / 10 % 10) << 4) | (number % 10)
}

/// `http://address:port/`, with the brackets that IPv6 needs.
pub fn url(address: impl Into<IpAddr>, port: u16) -> String {
    format!(
        "http://{}/",
        std::net::SocketAddr::new(address.into(), port)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_read_like_the_ipv4_ones() {
        assert_eq!(of_node(1).v4.to_string(), "172.31.0.11");
        assert_eq!(of_node(1).v6.to_string(), "fd31::11");
        assert_eq!(of_client(12).v4.to_string(), "172.31.0.112");
        assert_eq!(of_client(12).v6.to_string(), "fd31::112");
        let pod = PodCidrs::of_node(12).pod(9);
        assert_eq!(pod.v4.to_string(), "10.244.12.10");
        assert_eq!(pod.v6.to_string(), "fd10:244:12::10");
    }

    #[test]
    fn nodes_never_reach_the_addresses_of_clients() {
        assert!(of_node(MOST_NODES).v4 < of_client(1).v4);
        assert!(of_node(MOST_NODES).v6 < of_client(1).v6);
    }

    #[test]
    fn a_url_puts_ipv6_into_brackets() {
        assert_eq!(url(of_node(1).v6, 80), "http://[fd31::11]:80/");
        assert_eq!(url(of_node(1).v4, 80), "http://172.31.0.11:80/");
    }
}
