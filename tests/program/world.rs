//! A node with the real datapath on it, alone in its namespaces.

mod affinity;
mod asker;
mod checksum;
mod course;
mod crowd;
mod error;
mod flows;
mod fragments;
mod hook;
mod namespace;
mod outcome;
mod packet;
mod refusal;
mod service;
mod topology;
mod xdp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use aya::maps::{Array, HashMap, Map, MapData};
use netproxy::datapath::{
    AttachMode, Datapath, DatapathError, DatapathOptions, MapSize, Pins, SourcePorts, XdpMode,
};
use netproxy::node::{Attachment, BridgeNetfilter};
use netproxy_common::maglev::Table;
use netproxy_common::{AddressFlags, Device, DeviceKind, Ipv4, Ipv6, LocalClients};
use nix::net::if_::if_nametoindex;

pub(crate) use self::asker::Asker;
pub(crate) use self::checksum::checksums_hold;
pub(crate) use self::course::{Course, Opened};
pub(crate) use self::error::{IcmpError, Message};
pub(crate) use self::flows::Half;
pub(crate) use self::hook::{Context, Hook};
use self::namespace::Namespace;
pub(crate) use self::outcome::Outcome;
pub(crate) use self::packet::{Chunk, Fragment, Packet, Piece, sctp, tcp};
pub(crate) use self::service::Shop;
pub(crate) use self::topology::{At, Flavour, NODE_MAC, POD_PORT};
use self::topology::{DEVICES, DeviceSpec};
pub(crate) use self::xdp::Framed;
use self::xdp::XdpHook;

/// A node.
pub(crate) struct World {
    hooks: BTreeMap<(&'static str, Direction), Arc<Hook>>,
    datapath: Option<Datapath>,
    pins: Pins,
    ports: SourcePorts,
    map_sizes: Vec<MapSize>,
    local_clients: LocalClients,
    xdp: XdpMode,
    has_layer_3: bool,
    // Last: the rest must go before the namespaces do.
    _namespace: Namespace,
}

/// Which way packets go at a hook, seen from the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

impl World {
    /// A node that serves nothing yet.
    pub(crate) fn new() -> Self {
        Self::with_ports(SourcePorts::default())
    }

    /// As [`Self::new`], with these source ports for whole flows.
    pub(crate) fn with_ports(ports: SourcePorts) -> Self {
        Self::with(ports, Vec::new(), LocalClients::Device)
    }

    /// As [`Self::new`], with maps of these sizes.
    pub(crate) fn with_map_sizes(sizes: &[&str]) -> Self {
        let sizes = sizes.iter().map(|size| size.parse().unwrap()).collect();
        Self::with(SourcePorts::default(), sizes, LocalClients::Device)
    }

    /// As [`Self::new`], where pods of this node are told so.
    pub(crate) fn with_local_clients(local_clients: LocalClients) -> Self {
        Self::with(SourcePorts::default(), Vec::new(), local_clients)
    }

    fn with(ports: SourcePorts, map_sizes: Vec<MapSize>, local_clients: LocalClients) -> Self {
        let namespace = Namespace::enter();
        topology::build();
        let mut world = Self {
            hooks: BTreeMap::new(),
            datapath: None,
            pins: Pins::new(namespace.bpffs()),
            ports,
            map_sizes,
            local_clients,
            xdp: XdpMode::Off,
            has_layer_3: false,
            _namespace: namespace,
        };
        world.start();
        world
    }

    /// `tun0` is served, too. It has programs of its own: to have the kernel verify them for every world
    /// takes half of the time of all tests.
    pub(crate) fn with_layer_3(mut self) -> Self {
        self.has_layer_3 = true;
        self.serve_devices(false);
        self
    }

    /// Uplinks have the XDP program from now on.
    pub(crate) fn with_xdp(mut self) -> Self {
        self.stop();
        self.xdp = XdpMode::Generic;
        self.start();
        self
    }

    /// They lose it.
    pub(crate) fn without_xdp(mut self) -> Self {
        self.stop();
        self.xdp = XdpMode::Off;
        self.start();
        self
    }

    /// The kernel sends what is for `address` straight to a device from now on.
    pub(crate) fn route(address: IpAddr, device: &str) {
        namespace::ip(&format!("route replace {address} dev {device}\n"));
    }

    /// Nothing is known of what a device can do.
    pub(crate) fn lose_device_flags(&self, device: &str) {
        let map = MapData::from_pin(self.pins.map("DEVICES")).unwrap();
        let mut map: HashMap<_, u32, Device> = HashMap::try_from(Map::HashMap(map)).unwrap();
        let ifindex = ifindex(device);
        let known = map.get(&ifindex, 0).unwrap();
        map.insert(ifindex, Device { flags: 0, ..known }, 0)
            .unwrap();
    }

    /// A frame is received by a device that has the XDP program.
    #[must_use]
    pub(crate) fn frame(&self, device: &str, frame: impl Into<Vec<u8>>) -> Framed {
        XdpHook::open(&self.pins, ifindex(device)).run(frame)
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

    /// The next agent is to have maps of these sizes.
    pub(crate) fn set_map_sizes(&mut self, sizes: &[&str]) {
        self.map_sizes = sizes.iter().map(|size| size.parse().unwrap()).collect();
    }

    /// Lets the programs open no flow until then, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) fn pause(&self, until_ns: u64) {
        let map = MapData::from_pin(self.pins.map("PAUSE")).unwrap();
        let mut map: Array<_, u64> = Map::Array(map).try_into().unwrap();
        map.set(0, until_ns, 0).unwrap();
    }

    /// Somebody writes to all tables of consistent balancing.
    pub(crate) fn spoil_tables(&self) {
        let map = MapData::from_pin(self.pins.map("MAGLEV")).unwrap();
        let mut map: Array<_, Table> = Map::Array(map).try_into().unwrap();
        for index in 0..map.len() {
            let mut table = map.get(&index, 0).unwrap();
            table.slots.fill(0);
            map.set(index, table, 0).unwrap();
        }
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
            attach: AttachMode::Auto,
            xdp: self.xdp,
            ports: self.ports,
            sockets: None,
            map_sizes: self.map_sizes.clone(),
        };
        let mut datapath = Datapath::open(&options, self.local_clients)?;
        let own: BTreeSet<IpAddr> = Flavour::ALL
            .iter()
            .flat_map(|flavour| [flavour.node(), flavour.bridge()])
            .collect();
        let node_ports = Flavour::ALL.iter().map(|flavour| flavour.node()).collect();
        datapath.set_node_addresses(&own, &node_ports)?;
        datapath.set_sources(&topology::sources())?;
        datapath.set_devices(&self.attachments(false))?;
        self.datapath = Some(datapath);
        self.open_hooks();
        Ok(())
    }

    fn serve_devices(&mut self, does_netfilter_see_bridges: bool) {
        let devices = self.attachments(does_netfilter_see_bridges);
        self.datapath().set_devices(&devices).unwrap();
        self.open_hooks();
    }

    fn open_hooks(&mut self) {
        for device in self.devices() {
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
    }

    /// Those that are served.
    fn devices(&self) -> Vec<DeviceSpec> {
        let is_served = |device: &DeviceSpec| device.has_link_layer || self.has_layer_3;
        DEVICES.into_iter().filter(is_served).collect()
    }

    fn attachments(&self, does_netfilter_see_bridges: bool) -> Vec<Attachment> {
        let devices = self.devices().into_iter();
        devices
            .map(|device| Attachment {
                bridge_netfilter: BridgeNetfilter {
                    v4: does_netfilter_see_bridges || device.master.is_none(),
                    v6: does_netfilter_see_bridges || device.master.is_none(),
                },
                ..attachment(&device)
            })
            .collect()
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

    /// As [`Self::ingress`], of a packet that stands for segments of `bytes` bytes of payload.
    #[must_use]
    pub(crate) fn segments_at_ingress(
        &self,
        device: &'static str,
        packet: impl Into<Vec<u8>>,
        bytes: u32,
    ) -> Outcome {
        let hook = self.ingress_hook(device);
        let context = Context {
            came_in_by: hook.ifindex(),
            gso_size: bytes,
        };
        hook.run(packet, context)
    }

    /// A device of the calling thread's node carries packets of so many bytes from now on.
    pub(crate) fn set_mtu(device: &str, bytes: u16) {
        namespace::ip(&format!("link set {device} mtu {bytes}\n"));
    }

    /// The hardware address of a neighbour of the calling thread's node is known from now on: its peer's.
    pub(crate) fn learn(device: &str, neighbour: &str) {
        namespace::ip(&format!(
            "neighbour replace {neighbour} dev {device} lladdr 02:00:00:00:00:02\n"
        ));
    }

    /// Netfilter sees what bridges switch from now on.
    pub(crate) fn show_bridges_to_netfilter(&mut self) {
        self.serve_devices(true);
    }

    /// A packet that was forwarded leaves the node by a device.
    #[must_use]
    pub(crate) fn egress(&self, device: &'static str, packet: impl Into<Vec<u8>>) -> Outcome {
        self.egress_of(device, "eth0", packet)
    }

    /// As [`Self::egress`], of a packet that came in by this device.
    #[must_use]
    pub(crate) fn egress_of(
        &self,
        device: &'static str,
        came_in_by: &str,
        packet: impl Into<Vec<u8>>,
    ) -> Outcome {
        let context = Context {
            came_in_by: ifindex(came_in_by),
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

    /// Every program, by its device and direction.
    pub(crate) fn hooks(&self) -> impl Iterator<Item = (&'static str, Direction, Arc<Hook>)> {
        self.hooks
            .iter()
            .map(|((device, direction), hook)| (*device, *direction, Arc::clone(hook)))
    }

    fn hook(&self, device: &'static str, direction: Direction) -> &Arc<Hook> {
        &self.hooks[&(device, direction)]
    }

    /// Where things are pinned.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
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
        is_nic: false,
        mac: if device.has_link_layer {
            NODE_MAC
        } else {
            [0; 6]
        },
        master: device.master.map_or(0, ifindex),
        is_local_pods: device.is_marked,
        bridge_netfilter: BridgeNetfilter { v4: true, v6: true },
    }
}
