//! What devices tell: whether a client is on this node, and what a bridge keeps from netfilter.

use netproxy_common::address::Address as _;
use netproxy_common::{Device, DeviceFlags, DeviceKind, LocalClients};

use crate::family::Family;
use crate::maps::DEVICES;
use crate::packet::{ETHERNET, Packet, Skb};
use crate::{config, networks, route};

/// What is known of the device with this index.
#[inline(always)]
pub(crate) fn find(ifindex: u32) -> Option<Device> {
    // SAFETY: the entry is copied at once; user space replaces entries, it does not change them.
    unsafe { DEVICES.get(&ifindex) }.copied()
}

/// Whether the packet's frame is addressed to this host. A device in promiscuous mode also shows
/// frames for others, there are frames for all, and a VIP is every node's: two nodes must not serve one
/// packet. Nor does the kernel forward one that is not for this host alone (`ip_forward`). A bridge port's
/// frames for the host carry the bridge's address.
#[inline(never)]
pub(crate) fn is_for_host<const L2: usize>(packet: Skb<L2>) -> bool {
    if L2 != ETHERNET {
        return true;
    }
    packet.is_addressed_here()
        || find(packet.ifindex()).is_some_and(|device| {
            device.master != 0 && packet.destination_mac() == Some(device.mac)
        })
}

/// Whether the device with this index leads outside, by itself and not as the port of a bridge.
#[inline(always)]
pub(crate) fn is_uplink(ifindex: u32) -> bool {
    find(ifindex)
        .is_some_and(|device| device.kind == DeviceKind::Outside as u8 && device.master == 0)
}

/// Whether the packet, which leaves by this device, came from another port of its bridge, and netfilter
/// has not seen it.
#[inline(never)]
pub(crate) fn is_switched_unseen<F: Family, P: Packet>(packet: P) -> bool {
    let Some(device) = find(packet.ifindex()) else {
        return false;
    };
    device.flags & F::UNSEEN != 0
        && find(packet.came_in_by()).is_some_and(|port| port.master == device.master)
}

/// Whether `client`, whose packet came in here, counts as a pod of this node under
/// `externalTrafficPolicy: Local`, given whether it is one by its device and route.
#[inline(always)]
pub(crate) fn is_local_pod<F: Family, P: Packet>(
    packet: P,
    client: &F::Address,
    is_client_local: bool,
) -> bool {
    let mode = config::local_clients();
    if mode == LocalClients::Networks as u32 {
        networks::is_local_pod::<F>(client)
    } else if mode == LocalClients::MarkedDevices as u32 {
        find(packet.ifindex()).is_some_and(|device| device.flags & DeviceFlags::LOCAL_PODS != 0)
    } else {
        mode == LocalClients::Device as u32 && is_client_local
    }
}

/// Whether `client`, whose packet came in here, is on this node: the device carries a pod, and
/// the route back to the client leaves by it (or by its bridge). Unknown devices are outside: a
/// wrong "local" would break the connection, a wrong "outside" only translates.
#[inline(never)]
pub(crate) fn is_client_local<F: Family, P: Packet>(packet: P, client: &F::Address) -> bool {
    let ifindex = packet.ifindex();
    let Some(device) = find(ifindex) else {
        return false;
    };
    if device.kind != DeviceKind::Pod as u8 {
        return false;
    }
    match route::find::<F, P>(packet, &F::Address::UNSPECIFIED, client, route::ANY_SIZE) {
        Ok(back) => back.ifindex == ifindex || back.ifindex == device.master,
        Err(_) => false,
    }
}
