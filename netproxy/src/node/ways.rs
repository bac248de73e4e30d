//! Ways of packets, as the kernel would choose them: routes, and ports of bridges. Asked for one by one; nothing is
//! sent.

use std::net::IpAddr;

use futures::StreamExt as _;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkPayload};

use super::NodeError;
use super::kernel::{Kernel, refused};

/// Where a packet goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out of a device.
    Device {
        /// Which.
        ifindex: u32,
        /// By whom, if the destination is not behind the device itself.
        gateway: Option<IpAddr>,
        /// The source that the kernel would choose.
        source: Option<IpAddr>,
    },
    /// To a socket of this node.
    Here {
        /// The source that the kernel would choose.
        source: Option<IpAddr>,
    },
    /// Nowhere; why, as an errno.
    Nowhere(i32),
}

/// The asking side.
#[derive(Debug)]
pub struct Ways(Kernel);

impl Ways {
    /// In the calling thread's network namespace.
    pub fn connect() -> Result<Self, NodeError> {
        Kernel::connect().map(Self)
    }

    /// The way to `destination`: of a packet from `source` that came in by a device, or, where that is None, of one
    /// of this node.
    pub async fn to(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        came_in_by: Option<u32>,
    ) -> Result<Way, NodeError> {
        const OBJECT: &str = "a route";
        let mut request = RouteMessage::default();
        let bits = if destination.is_ipv4() { 32 } else { 128 };
        request.header.address_family = family(destination);
        request.header.destination_prefix_length = bits;
        let attributes = &mut request.attributes;
        attributes.push(RouteAttribute::Destination(destination.into()));
        if let Some(source) = source {
            request.header.source_prefix_length = bits;
            attributes.push(RouteAttribute::Source(source.into()));
        }
        attributes.extend(came_in_by.map(RouteAttribute::Iif));
        let request = RouteNetlinkMessage::GetRoute(request);
        let mut answers = self.0.ask(OBJECT, request, NLM_F_REQUEST)?;
        let broken_off = NodeError::BrokenOff { object: OBJECT };
        match answers.next().await.ok_or(broken_off)?.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => Ok(way(&route)),
            NetlinkPayload::Error(error) => Ok(Way::Nowhere(error.raw_code().saturating_neg())),
            _ => Err(NodeError::BrokenOff { object: OBJECT }),
        }
    }

    /// The port of a bridge that `address` is behind, as far as is known from what it has sent lately.
    pub async fn port_towards(
        &self,
        bridge: u32,
        address: IpAddr,
    ) -> Result<Option<u32>, NodeError> {
        let mut request = NeighbourMessage::default();
        request.header.family = family(address);
        request.header.ifindex = bridge;
        let destination = match address {
            IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
            IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
        };
        request.attributes = vec![NeighbourAttribute::Destination(destination)];
        let Some(neighbour) = self.neighbour(request).await? else {
            return Ok(None);
        };
        let mut attributes = neighbour.attributes.into_iter();
        let Some(mac) = attributes.find(|it| matches!(it, NeighbourAttribute::LinkLayerAddress(_)))
        else {
            return Ok(None);
        };
        let mut request = NeighbourMessage::default();
        request.header.family = AddressFamily::Bridge;
        request.attributes = vec![mac, NeighbourAttribute::Controller(bridge)];
        let entry = self.neighbour(request).await?;
        Ok(entry.map(|entry| entry.header.ifindex))
    }

    async fn neighbour(
        &self,
        request: NeighbourMessage,
    ) -> Result<Option<NeighbourMessage>, NodeError> {
        const OBJECT: &str = "a neighbour";
        let request = RouteNetlinkMessage::GetNeighbour(request);
        let mut answers = self.0.ask(OBJECT, request, NLM_F_REQUEST)?;
        let broken_off = NodeError::BrokenOff { object: OBJECT };
        match answers.next().await.ok_or(broken_off)?.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(found)) => {
                Ok(Some(found))
            }
            NetlinkPayload::Error(error) if error.raw_code() == -libc::ENOENT => Ok(None),
            NetlinkPayload::Error(error) => Err(refused(OBJECT, &error)),
            _ => Err(NodeError::BrokenOff { object: OBJECT }),
        }
    }
}

fn family(of: IpAddr) -> AddressFamily {
    if of.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn way(route: &RouteMessage) -> Way {
    let ip = |address: &RouteAddress| match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    };
    let (mut ifindex, mut gateway, mut source) = (0, None, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(found) => ifindex = *found,
            RouteAttribute::Gateway(found) => gateway = ip(found),
            RouteAttribute::Via(RouteVia::Inet(v4)) => gateway = Some(IpAddr::V4(*v4)),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => gateway = Some(IpAddr::V6(*v6)),
            RouteAttribute::PrefSource(found) => source = ip(found),
            _ => {}
        }
    }
    match route.header.kind {
        RouteType::Unicast => Way::Device {
            ifindex,
            gateway,
            source,
        },
        RouteType::Local => Way::Here { source },
        RouteType::Prohibit => Way::Nowhere(libc::EACCES),
        RouteType::BlackHole => Way::Nowhere(libc::EINVAL),
        _ => Way::Nowhere(libc::EHOSTUNREACH),
    }
}
