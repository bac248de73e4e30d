//! A network device, reduced to what decides where programs are attached.

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};

use super::BridgeNetfilter;

/// A network device of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Unique in the namespace while the device exists.
    pub ifindex: u32,
    /// Current name; devices are renamed while they live.
    pub name: String,
    /// What made it.
    pub kind: LinkKind,
    /// What its frames start with.
    pub layer: LinkLayer,
    /// Ifindex of the bridge, bond, team, VRF… it is a port of.
    pub master: Option<u32>,
    /// Ifindex of the device it is stacked on, or of its peer (veth, netkit). Counts in another
    /// namespace when `peer_is_elsewhere`.
    pub lower: Option<u32>,
    /// Whether `lower` lives in another network namespace.
    pub peer_is_elsewhere: bool,
    /// Hardware address, if it has one of six bytes.
    pub mac: Option<[u8; 6]>,
    /// Whether it is administratively up.
    pub is_up: bool,
    /// What it asks for by itself, if it is a bridge.
    pub bridge_netfilter: BridgeNetfilter,
}

/// What made a device: the kernel's `IFLA_INFO_KIND`, families of kinds taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// `lo`.
    Loopback,
    /// A NIC: hardware or paravirtual, whatever has no kind.
    Physical,
    /// One end of a veth pair.
    Veth,
    /// A tun (no link layer) or tap (Ethernet) device.
    Tun,
    /// A Linux bridge.
    Bridge,
    /// A bond master.
    Bond,
    /// A team master.
    Team,
    /// An 802.1Q or 802.1ad device.
    Vlan,
    /// A VXLAN tunnel.
    Vxlan,
    /// A GENEVE tunnel.
    Geneve,
    /// A `WireGuard` tunnel.
    WireGuard,
    /// An IP-in-IP tunnel (`ipip`, `sit`, `ip6tnl`).
    IpIp,
    /// A dummy: addresses live there, packets do not.
    Dummy,
    /// A macvlan or macvtap device.
    Macvlan,
    /// An ipvlan or ipvtap device.
    Ipvlan,
    /// One end of a netkit pair.
    Netkit,
    /// A VRF master.
    Vrf,
    /// An intermediate functional block, for shaping.
    Ifb,
    /// Any other kind, by the kernel's name.
    Other(String),
}

/// What a packet on a device starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// An Ethernet header.
    Ethernet,
    /// Nothing: an IP header comes first (tunnels, PPP).
    None,
    /// A header the programs do not know (InfiniBand, CAN…).
    Foreign,
}

impl Link {
    /// Reads an `RTM_NEWLINK`; `None` for those that do not describe a whole device.
    ///
    /// Bridges announce their ports, and wireless drivers their events, in messages of the same
    /// type that lack most attributes.
    pub(super) fn from_message(message: LinkMessage) -> Option<Self> {
        if message.header.interface_family != AddressFamily::Unspec {
            return None;
        }
        let header = message.header;
        let mut info_kind = None;
        let mut link = Self {
            ifindex: header.index,
            name: String::new(),
            kind: LinkKind::Physical,
            layer: LinkLayer::from(header.link_layer_type),
            master: None,
            lower: None,
            peer_is_elsewhere: false,
            mac: None,
            is_up: header.flags.contains(LinkFlags::Up),
            bridge_netfilter: BridgeNetfilter::default(),
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::Wireless(_) => return None,
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Controller(master) => link.master = (master != 0).then_some(master),
                LinkAttribute::Link(lower) => link.lower = (lower != 0).then_some(lower),
                LinkAttribute::LinkNetNsId(_) => link.peer_is_elsewhere = true,
                LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok(),
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        match info {
                            LinkInfo::Kind(kind) => info_kind = Some(kind),
                            LinkInfo::Data(data) => {
                                link.bridge_netfilter = BridgeNetfilter::of_bridge(&data);
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        link.kind = match info_kind {
            Some(kind) => LinkKind::from(kind),
            None if header.link_layer_type == LinkLayerType::Loopback => LinkKind::Loopback,
            None => LinkKind::Physical,
        };
        (!link.name.is_empty()).then_some(link)
    }
}

impl From<InfoKind> for LinkKind {
    fn from(kind: InfoKind) -> Self {
        match kind {
            InfoKind::Veth => Self::Veth,
            InfoKind::Tun => Self::Tun,
            InfoKind::Bridge => Self::Bridge,
            InfoKind::Bond => Self::Bond,
            InfoKind::Team => Self::Team,
            InfoKind::Vlan => Self::Vlan,
            InfoKind::Vxlan => Self::Vxlan,
            InfoKind::Geneve => Self::Geneve,
            InfoKind::Wireguard => Self::WireGuard,
            InfoKind::IpIp | InfoKind::SitTun | InfoKind::Ip6Tnl => Self::IpIp,
            InfoKind::Dummy => Self::Dummy,
            InfoKind::MacVlan | InfoKind::MacVtap => Self::Macvlan,
            InfoKind::IpVlan | InfoKind::IpVtap => Self::Ipvlan,
            InfoKind::Netkit => Self::Netkit,
            InfoKind::Vrf => Self::Vrf,
            InfoKind::Ifb => Self::Ifb,
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<LinkLayerType> for LinkLayer {
    /// Headerless are the types that the kernel's `dev_is_mac_header_xmit()` lists.
    fn from(layer: LinkLayerType) -> Self {
        match layer {
            LinkLayerType::Ether | LinkLayerType::Loopback => Self::Ethernet,
            LinkLayerType::None
            | LinkLayerType::Rawip
            | LinkLayerType::Ppp
            | LinkLayerType::Tunnel
            | LinkLayerType::Tunnel6
            | LinkLayerType::Sit
            | LinkLayerType::Ipgre
            | LinkLayerType::Ip6gre => Self::None,
            _ => Self::Foreign,
        }
    }
}
