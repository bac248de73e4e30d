//! The one node all tests are about: its devices, and who lives where.
//!
//! | device | leads to |
//! |---|---|
//! | `eth0` | the outside: other nodes, clients, by a router |
//! | `eth1` | the outside, by no route |
//! | `pod1`, `pod2` | a pod each |
//! | `pod3`, `pod4` | a pod each behind the bridge `br0`, which switches past netfilter |
//! | `tun0` | the outside, without a link layer |

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aya::util::KernelVersion;
use netproxy::model::{Family, Protocol};
use netproxy_common::source::ANY_DEVICE;
use netproxy_common::{Ipv4, Ipv6, Source};

use super::ifindex;
use super::namespace::{ip, sysctl};

/// Hardware addresses: of the node's end of every device, and of whoever is on the other end.
pub(crate) const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The port at which frontends other than NodePorts answer.
pub(crate) const SERVICE_PORT: u16 = 80;
/// The NodePort.
pub(crate) const NODE_PORT: u16 = 30_080;
/// The port on which pods listen.
pub(crate) const POD_PORT: u16 = 8080;

/// A family and a protocol: most rules hold for all six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flavour {
    pub(crate) family: Family,
    pub(crate) protocol: Protocol,
}

impl Flavour {
    /// Every flavour.
    pub(crate) const ALL: [Self; 6] = [
        Self::new(Family::V4, Protocol::Tcp),
        Self::new(Family::V4, Protocol::Udp),
        Self::new(Family::V4, Protocol::Sctp),
        Self::new(Family::V6, Protocol::Tcp),
        Self::new(Family::V6, Protocol::Udp),
        Self::new(Family::V6, Protocol::Sctp),
    ];
    /// Those that are served in fragments, too.
    pub(crate) const IN_PIECES: [Self; 4] = [
        Self::new(Family::V4, Protocol::Tcp),
        Self::new(Family::V4, Protocol::Udp),
        Self::new(Family::V6, Protocol::Tcp),
        Self::new(Family::V6, Protocol::Udp),
    ];
    /// Those of TCP.
    pub(crate) const TCP: [Self; 2] = [
        Self::new(Family::V4, Protocol::Tcp),
        Self::new(Family::V6, Protocol::Tcp),
    ];
    /// Those of UDP.
    pub(crate) const UDP: [Self; 2] = [
        Self::new(Family::V4, Protocol::Udp),
        Self::new(Family::V6, Protocol::Udp),
    ];
    /// Those of SCTP.
    pub(crate) const SCTP: [Self; 2] = [
        Self::new(Family::V4, Protocol::Sctp),
        Self::new(Family::V6, Protocol::Sctp),
    ];

    /// Those of IPv4.
    pub(crate) const V4: [Self; 3] = [
        Self::new(Family::V4, Protocol::Tcp),
        Self::new(Family::V4, Protocol::Udp),
        Self::new(Family::V4, Protocol::Sctp),
    ];
    /// Those of IPv6.
    pub(crate) const V6: [Self; 3] = [
        Self::new(Family::V6, Protocol::Tcp),
        Self::new(Family::V6, Protocol::Udp),
        Self::new(Family::V6, Protocol::Sctp),
    ];

    const fn new(family: Family, protocol: Protocol) -> Self {
        Self { family, protocol }
    }

    fn address(self, v4: &str, v6: &str) -> IpAddr {
        match self.family {
            Family::V4 => v4.parse().unwrap(),
            Family::V6 => v6.parse().unwrap(),
        }
    }

    /// The address that is none.
    pub(crate) fn unspecified(self) -> IpAddr {
        self.address("0.0.0.0", "::")
    }

    /// The node's own address.
    pub(crate) fn node(self) -> IpAddr {
        self.address("192.0.2.1", "2001:db8:2::1")
    }

    /// The node's address on its bridge, where no NodePort answers.
    pub(crate) fn bridge(self) -> IpAddr {
        self.address("10.244.3.1", "fd00:244:3::1")
    }

    /// The source towards pods that are reached without a bridge. The kernel uses the first device's, and
    /// by RFC 6724 the address most like the pod's; where it does not tell (before Linux 6.7), the node's
    /// is used.
    pub(crate) fn source_towards_pods(self) -> IpAddr {
        let tells = KernelVersion::current().unwrap() >= KernelVersion::new(6, 7, 0);
        match self.family {
            Family::V6 if tells => self.bridge(),
            Family::V4 | Family::V6 => self.node(),
        }
    }

    /// A client outside the cluster; `tun0` leads to it as well.
    ///
    /// A test run reads the `EtherType` at bytes 12 and 13 even where a device has no link layer,
    /// and there they are part of the source address: hence `8.0` and `86dd`.
    pub(crate) fn outside(self) -> IpAddr {
        self.address("8.0.7.7", "2001:db8:86dd::7")
    }

    /// The pod behind `pod1`, `pod2` or (a bridge's port) `pod3`.
    pub(crate) fn local_pod(self, number: u8) -> IpAddr {
        self.address(
            &format!("10.244.{number}.11"),
            &format!("fd00:244:{number}::11"),
        )
    }

    /// The pod behind `pod4`, which shares a bridge with that behind `pod3`.
    pub(crate) fn neighbour_of_pod3(self) -> IpAddr {
        self.address("10.244.3.12", "fd00:244:3::12")
    }

    /// A pod of another node.
    pub(crate) fn remote_pod(self, number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        self.address(
            &format!("8.0.{}.{low}", 128 + high),
            &format!("2001:db8:86dd:ffff::{number:x}"),
        )
    }

    /// One of many clients outside the cluster.
    pub(crate) fn client(self, number: u8) -> IpAddr {
        self.address(
            &format!("8.0.9.{number}"),
            &format!("2001:db8:86dd:9::{number:x}"),
        )
    }

    /// A pod to which no route leads.
    pub(crate) fn unreachable_pod(self) -> IpAddr {
        self.address("10.99.0.1", "fd00:99::1")
    }

    /// The cluster IP of service `number`.
    pub(crate) fn cluster_ip(self, number: u8) -> IpAddr {
        self.address(&format!("10.96.0.{number}"), &format!("fd00:96::{number}"))
    }

    /// The load-balancer VIP of service `number`.
    pub(crate) fn vip(self, number: u8) -> IpAddr {
        self.address(
            &format!("203.0.113.{number}"),
            &format!("2001:db8:113::{number}"),
        )
    }

    /// The external IP of service `number`.
    pub(crate) fn external_ip(self, number: u8) -> IpAddr {
        self.address(
            &format!("198.51.100.{number}"),
            &format!("2001:db8:51::{number}"),
        )
    }
}

/// Gives an address a port.
pub(crate) trait At {
    /// The address with this port.
    fn at(self, port: u16) -> SocketAddr;
}

impl At for IpAddr {
    fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self, port)
    }
}

/// A device of the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceSpec {
    pub(crate) name: &'static str,
    pub(crate) is_pod: bool,
    pub(crate) has_link_layer: bool,
    pub(crate) master: Option<&'static str>,
    /// Whether its clients count as pods of this node under `LocalClients::MarkedDevices`.
    pub(crate) is_marked: bool,
}

/// The devices that programs are attached to.
pub(crate) const DEVICES: [DeviceSpec; 7] = [
    device("eth0", false),
    device("eth1", false),
    DeviceSpec {
        is_marked: true,
        ..device("pod1", true)
    },
    device("pod2", true),
    DeviceSpec {
        master: Some("br0"),
        ..device("pod3", true)
    },
    DeviceSpec {
        master: Some("br0"),
        ..device("pod4", true)
    },
    DeviceSpec {
        has_link_layer: false,
        ..device("tun0", false)
    },
];

/// What the node sends from, by the device.
pub(crate) fn sources() -> BTreeMap<u32, Source> {
    let source = |v4: [u8; 4], v6: Ipv6Addr| Source {
        v4: Ipv4::new(v4),
        v6: Ipv6::new(v6.octets()),
    };
    let node = source(
        [192, 0, 2, 1],
        Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1),
    );
    let bridge = source(
        [10, 244, 3, 1],
        Ipv6Addr::new(0xfd00, 0x244, 3, 0, 0, 0, 0, 1),
    );
    BTreeMap::from([
        (ANY_DEVICE, node),
        (ifindex("eth0"), node),
        (ifindex("br0"), bridge),
    ])
}

const fn device(name: &'static str, is_pod: bool) -> DeviceSpec {
    DeviceSpec {
        name,
        is_pod,
        has_link_layer: true,
        master: None,
        is_marked: false,
    }
}

/// Makes the devices and routes in the calling thread's network namespace.
pub(crate) fn build() {
    sysctl("ipv4/ip_forward", "1");
    sysctl("ipv6/conf/all/forwarding", "1");
    ip("link set lo up
link add eth0 address 02:00:00:00:00:01 type veth peer name wire address 02:00:00:00:00:02
link add eth1 address 02:00:00:00:00:01 type veth peer name wire1
link add pod1 address 02:00:00:00:00:01 type veth peer name inner1
link add pod2 address 02:00:00:00:00:01 type veth peer name inner2
link add br0 address 02:00:00:00:00:01 type bridge
link add pod3 type veth peer name inner3
link set pod3 master br0
link add pod4 type veth peer name inner4
link set pod4 master br0
link add tun0 type veth peer name beyond
link set eth0 up
link set wire up
link set eth1 up
link set wire1 up
link set pod1 up
link set inner1 up
link set pod2 up
link set inner2 up
link set br0 up
link set pod3 up
link set inner3 up
link set pod4 up
link set inner4 up
link set tun0 up
link set beyond up
address add 192.0.2.1/24 dev eth0
address add 2001:db8:2::1/64 dev eth0 nodad
address add 10.244.3.1/24 dev br0
address add fd00:244:3::1/64 dev br0 nodad
route add 8.0.0.0/16 via 192.0.2.254
route add 2001:db8:86dd::/48 via 2001:db8:2::fe
route add 10.244.1.11/32 dev pod1
route add fd00:244:1::11/128 dev pod1
route add 10.244.2.11/32 dev pod2
route add fd00:244:2::11/128 dev pod2
");
}
