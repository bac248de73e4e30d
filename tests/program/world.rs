//! A node with the real datapath on it, alone in its namespaces.

mod checksum;
mod hook;
mod namespace;
mod packet;
mod refusal;
mod service;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use aya::maps::{HashMap, Map, MapData};
use netproxy::datapath::{
    AttachMode, Datapath, DatapathError, DatapathOptions, FlowEntry, FlowTable, MapSize, Pins,
    SourcePorts,
};
use netproxy::node::Attachment;
use netproxy_common::flow::FlowFlags;
use netproxy_common::{AddressFlags, DeviceKind, Flow, FlowKey, Ipv4, Ipv6, LocalClients};
use nix::net::if_::if_nametoindex;

pub(crate) use self::checksum::checksums_hold;
pub(crate) use self::hook::{Context, Hook, Outcome};
use self::namespace::Namespace;
pub(crate) use self::packet::{Fragment, Packet, tcp};
pub(crate) use self::service::Shop;
pub(crate) use self::topology::{At, Flavour, NODE_MAC, POD_PORT};
use self::topology::{DEVICES, DeviceSpec};

/// A node.
pub(crate) struct World {
    hooks: BTreeMap<(&'static str, Direction), Arc<Hook>>,
    datapath: Option<Datapath>,
    pins: Pins,
    ports: SourcePorts,
    map_sizes: Vec<MapSize>,
    // Last: the rest must go before the namespaces do.
    _namespace: Namespace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Ingress,
    Egress,
}

/// Which half of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// The client's packets.
    Forward,
    /// The endpoint's answers.
    Reply,
}

impl World {
    /// A node that serves nothing yet.
    pub(crate) fn new() -> Self {
        Self::with_ports(SourcePorts::default())
    }

    /// As [`Self::new`], with these source ports for whole flows.
    pub(crate) fn with_ports(ports: SourcePorts) -> Self {
        Self::with(ports, Vec::new())
    }

    /// As [`Self::new`], with maps of these sizes.
    pub(crate) fn with_map_sizes(sizes: &[&str]) -> Self {
        let sizes = sizes.iter().map(|size| size.parse().unwrap()).collect();
        Self::with(SourcePorts::default(), sizes)
    }

    fn with(ports: SourcePorts, map_sizes: Vec<MapSize>) -> Self {
        let namespace = Namespace::enter();
        topology::build();
        let mut world = Self {
            hooks: BTreeMap::new(),
            datapath: None,
            pins: Pins::new(namespace.bpffs()),
            ports,
            map_sizes,
            _namespace: namespace,
        };
        world.start();
        world
    }

    /// Brings these services to the state they describe.
    #[track_caller]
    pub(crate) fn serve(&mut self, shops: &[&Shop]) {
        let wanted: Vec<_> = shops.iter().map(|shop| shop.plan()).collect();
        self.datapath().apply(&wanted).unwrap();
    }

    /// The datapath, for what the world has no words for.
    pub(crate) fn datapath(&mut self) -> &mut Datapath {
        self.datapath.as_mut().expect("the datapath is open")
    }

    /// The agent ends; what it pinned stays.
    pub(crate) fn stop(&mut self) {
        self.hooks.clear();
        self.datapath = None;
    }

    /// An agent starts, and adopts what is pinned.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        self.try_start().unwrap();
    }

    /// As [`Self::start`], where it may be refused.
    pub(crate) fn try_start(&mut self) -> Result<(), DatapathError> {
        let options = DatapathOptions {
            pins: self.pins.clone(),
            attach: AttachMode::Tcx,
            ports: self.ports,
            map_sizes: self.map_sizes.clone(),
        };
        let mut datapath = Datapath::open(&options, LocalClients::Device)?;
        let own: BTreeSet<IpAddr> = Flavour::ALL
            .iter()
            .flat_map(|flavour| [flavour.node(), flavour.bridge()])
            .collect();
        let node_ports = Flavour::ALL.iter().map(|flavour| flavour.node()).collect();
        datapath.set_node_addresses(&own, &node_ports)?;
        datapath.set_devices(&DEVICES.map(|device| attachment(&device)))?;
        self.datapath = Some(datapath);
        for device in DEVICES {
            for (direction, name) in [
                (Direction::Ingress, "ingress"),
                (Direction::Egress, "egress"),
            ] {
                let hook = Hook::open(
                    &self.pins,
                    ifindex(device.name),
                    name,
                    device.has_link_layer,
                );
                self.hooks.insert((device.name, direction), Arc::new(hook));
            }
        }
        Ok(())
    }

    /// A packet enters the node by a device.
    #[must_use]
    pub(crate) fn ingress(&self, device: &'static str, packet: impl Into<Vec<u8>>) -> Outcome {
        let hook = self.ingress_hook(device);
        let context = Context {
            came_in_by: hook.ifindex(),
            ..Context::default()
        };
        hook.run(packet, context)
    }

    /// A packet that was forwarded leaves the node by a device.
    #[must_use]
    pub(crate) fn egress(&self, device: &'static str, packet: impl Into<Vec<u8>>) -> Outcome {
        let context = Context {
            came_in_by: ifindex("eth0"),
            ..Context::default()
        };
        self.hook(device, Direction::Egress).run(packet, context)
    }

    /// A packet of a process of this node leaves by a device.
    #[must_use]
    pub(crate) fn sent(&self, device: &'static str, packet: impl Into<Vec<u8>>) -> Outcome {
        self.hook(device, Direction::Egress)
            .run(packet, Context::default())
    }

    /// The program at a device's ingress.
    pub(crate) fn ingress_hook(&self, device: &'static str) -> Arc<Hook> {
        Arc::clone(self.hook(device, Direction::Ingress))
    }

    fn hook(&self, device: &'static str, direction: Direction) -> &Arc<Hook> {
        &self.hooks[&(device, direction)]
    }

    /// Where things are pinned.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Every live flow.
    pub(crate) fn flows(&self) -> Vec<FlowEntry> {
        FlowTable::open(&self.pins).unwrap().list().unwrap()
    }

    /// The only flow there is.
    #[track_caller]
    pub(crate) fn flow(&self) -> FlowEntry {
        let flows = self.flows();
        assert_eq!(flows.len(), 1, "{flows:?}");
        flows[0].clone()
    }

    /// Takes one half of every pending flow away, as the LRU may. Yields how many.
    pub(crate) fn lose(&self, half: Half) -> usize {
        let is_lost = |flags: u8| (flags & FlowFlags::REPLY != 0) == (half == Half::Reply);
        forget::<Ipv4>(self.flow_map("PENDING_V4"), is_lost)
            + forget::<Ipv6>(self.flow_map("PENDING_V6"), is_lost)
    }

    /// Takes every flow away.
    pub(crate) fn forget_flows(&self) {
        for name in ["PENDING_V4", "FLOWS_V4"] {
            forget::<Ipv4>(self.flow_map(name), |_| true);
        }
        for name in ["PENDING_V6", "FLOWS_V6"] {
            forget::<Ipv6>(self.flow_map(name), |_| true);
        }
    }

    /// What an address means to the programs; nothing: None.
    pub(crate) fn meaning_of(&self, address: IpAddr) -> Option<AddressFlags> {
        fn look_up<A: aya::Pod>(map: Map, key: A) -> Option<AddressFlags> {
            let map: HashMap<_, A, AddressFlags> = HashMap::try_from(map).unwrap();
            map.get(&key, 0).ok()
        }
        let map = |name| Map::HashMap(MapData::from_pin(self.pins.map(name)).unwrap());
        match address {
            IpAddr::V4(v4) => look_up(map("ADDRESSES_V4"), Ipv4::new(v4.octets())),
            IpAddr::V6(v6) => look_up(map("ADDRESSES_V6"), Ipv6::new(v6.octets())),
        }
    }

    /// Lets the deadline of one half of every flow pass.
    pub(crate) fn outlive(&self, half: Half) {
        let is_meant = |flags: u8| (flags & FlowFlags::REPLY != 0) == (half == Half::Reply);
        for name in ["PENDING_V4", "FLOWS_V4"] {
            outlive::<Ipv4>(self.flow_map(name), is_meant);
        }
        for name in ["PENDING_V6", "FLOWS_V6"] {
            outlive::<Ipv6>(self.flow_map(name), is_meant);
        }
    }

    fn flow_map(&self, name: &str) -> Map {
        let data = MapData::from_pin(self.pins.map(name)).unwrap();
        if name.starts_with("PENDING") {
            Map::LruHashMap(data)
        } else {
            Map::HashMap(data)
        }
    }
}

/// Removes the halves with such flags; yields how many.
fn forget<A: Copy>(map: Map, is_lost: impl Fn(u8) -> bool) -> usize
where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let mut map: HashMap<_, FlowKey<A>, Flow<A>> = map.try_into().unwrap();
    let lost: Vec<_> = map
        .iter()
        .map(Result::unwrap)
        .filter(|(_, flow)| is_lost(flow.flags))
        .map(|(key, _)| key)
        .collect();
    for key in &lost {
        map.remove(key).unwrap();
    }
    lost.len()
}

/// Puts the deadline of the halves with such flags into the past.
fn outlive<A: Copy>(map: Map, is_meant: impl Fn(u8) -> bool)
where
    FlowKey<A>: aya::Pod,
    Flow<A>: aya::Pod,
{
    let mut map: HashMap<_, FlowKey<A>, Flow<A>> = map.try_into().unwrap();
    let halves: Vec<_> = map.iter().map(Result::unwrap).collect();
    for (key, mut flow) in halves {
        if is_meant(flow.flags) {
            flow.deadline_s = 0;
            map.insert(key, flow, 0).unwrap();
        }
    }
}

fn ifindex(device: &str) -> u32 {
    if_nametoindex(device).unwrap()
}

fn attachment(device: &DeviceSpec) -> Attachment {
    Attachment {
        ifindex: ifindex(device.name),
        name: device.name.to_owned(),
        kind: if device.is_pod {
            DeviceKind::Pod
        } else {
            DeviceKind::Outside
        },
        has_link_layer: device.has_link_layer,
        mac: if device.has_link_layer {
            NODE_MAC
        } else {
            [0; 6]
        },
        master: device.master.map_or(0, ifindex),
        source_v4: Ipv4Addr::new(192, 0, 2, 1),
        source_v6: Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1),
        is_local_pods: false,
    }
}
