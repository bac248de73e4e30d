//! Default routes, of which only the devices matter.

use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};

/// Whether `message` is about a default route, in whatever table, that forwards.
pub(super) fn is_default(message: &RouteMessage) -> bool {
    message.header.destination_prefix_length == 0 && message.header.kind == RouteType::Unicast
}

/// The devices a route leads to, one per next hop.
pub(super) fn devices(message: &RouteMessage) -> impl Iterator<Item = u32> + '_ {
    message
        .attributes
        .iter()
        .flat_map(|attribute| match attribute {
            RouteAttribute::Oif(ifindex) => vec![*ifindex],
            RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
            _ => Vec::new(),
        })
}
