//! The kernel side: programs loaded, maps pinned and filled, devices attached.
//!
//! Owns every map and link below the pin directory. One process at a time writes; everything it
//! leaves behind keeps working without it and is adopted by the next. Order of updates: endpoints
//! before the range that names them, ranges before the service word, services before frontends,
//! frontends before addresses; removals the other way round.

mod addresses;
mod attach;
mod batch;
mod btf;
mod claim;
mod contents;
mod convert;
mod counters;
mod drain;
mod drops;
mod edges;
mod encode;
mod entry;
mod error;
mod events;
mod exhausted_ports;
mod flow_expiry;
mod flow_sizes;
mod flow_table;
mod flow_tally;
mod footprint;
mod foreign;
mod frontends;
mod grace;
mod handover;
mod header;
mod in_force;
mod layout;
mod link;
mod load;
mod map_fill;
mod map_size;
mod mapped;
mod names;
mod netdev;
mod networks;
mod pause;
mod pins;
mod prefixes;
mod program_load;
mod program_pins;
mod programs;
mod ranges;
mod record;
mod service_ids;
mod services;
mod sizes;
mod socket_clients;
mod socket_memory;
mod sockets;
mod source_ranges;
mod sources;
mod stale_sockets;
mod succession;
mod syscall;
mod tables;
mod tc;
mod test_run;
mod traffic;
mod transfer;
mod turnover;
mod view;
mod xdp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use netproxy_common::{Counter, LocalClients, Source, Traffic};

pub use self::attach::{AttachMode, DeviceState};
pub use self::claim::Claim;
pub use self::counters::Counters;
pub use self::drain::Drain;
pub use self::entry::{EndpointEntry, ServiceEntry};
pub use self::error::DatapathError;
pub use self::events::{EventEntry, Events};
pub use self::exhausted_ports::Destination;
pub use self::flow_expiry::{Expired, Seen};
pub use self::flow_sizes::{FlowsMax, FlowsMaxError};
pub use self::flow_table::{FlowEntry, FlowTable};
pub use self::flow_tally::{FlowClass, FlowTally};
pub use self::footprint::Footprint;
pub use self::frontends::FrontendEntry;
pub use self::load::SourcePorts;
pub use self::map_fill::MapFill;
pub use self::map_size::{MapSize, MapSizeError};
pub use self::pins::{Pins, Removed};
pub use self::program_load::ProgramLoad;
pub use self::sockets::{CgroupTree, SocketHook, SocketLink, SocketOptions, SocketProgram};
pub use self::stale_sockets::{StaleSockets, endpoint_of};
pub use self::tc::{Direction, FILTER_HANDLE};
pub use self::test_run::{Action, Hook, Ran, are_runs_undisturbed};
pub use self::view::View;
pub use self::xdp::{XdpMode, XdpPlace};

use self::addresses::Addresses;
use self::attach::Devices;
use self::drops::Drops;
use self::edges::Edges;
use self::exhausted_ports::PortsWatch;
use self::flow_expiry::Expiry;
use self::frontends::Frontends;
use self::handover::Handover;
use self::networks::Networks;
use self::services::{Put, Services};
use self::socket_clients::SocketClients;
use self::sources::Sources;
use self::traffic::Carried;
use self::turnover::Turnovers;
use crate::model::{ObjectName, Protocol};
use crate::node::Attachment;
use crate::plan::{PortKey, WantedPort};

/// How to open the datapath.
#[derive(Clone, Debug)]
pub struct DatapathOptions {
    /// Where everything is pinned.
    pub pins: Pins,
    /// How programs are attached.
    pub attach: AttachMode,
    /// Where packets are sent on before there is an skb.
    pub xdp: XdpMode,
    /// Which source ports whole flows may use.
    pub ports: SourcePorts,
    /// Which processes are balanced at the socket; None: none.
    pub sockets: Option<SocketOptions>,
    /// Sizes of maps that are not to have their default size.
    pub map_sizes: Vec<MapSize>,
}

/// What one [`Datapath::apply`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Service ports that were written.
    pub written: usize,
    /// Service ports that were as wanted.
    pub unchanged: usize,
    /// Service ports that were removed.
    pub removed: usize,
    /// Endpoints in the ports written.
    pub endpoints: usize,
    /// Whether a port of UDP is among those written or removed.
    pub udp: bool,
}

/// The datapath of this node.
#[derive(Debug)]
pub struct Datapath {
    services: Services,
    frontends: Frontends,
    addresses: Addresses,
    service_cidrs: Networks,
    pod_cidrs: Networks,
    socket_clients: SocketClients,
    sources: Sources,
    devices: Devices,
    drops: Drops,
    carried: Carried,
    flows: FlowTable,
    expiry: Expiry,
    edges: Edges,
    turnovers: Turnovers,
    ports: PortsWatch,
    handover: Handover,
}

impl Datapath {
    /// Loads the programs, creates or adopts the pinned maps, and reads back what they hold.
    /// Nothing that is in force changes, but that programs of another build, which have other maps, are
    /// replaced. Where nothing is in force, sockets wait for [`Self::attach_sockets`]. Local clients are told as `local_clients` says.
    pub fn open(
        options: &DatapathOptions,
        local_clients: LocalClients,
    ) -> Result<Self, DatapathError> {
        let (mut loaded, succession) = load::load(options, local_clients)?;
        let flows = FlowTable::adopt(&mut loaded)?;
        let in_flows = flows.in_use()?.services;
        let carried = Carried::adopt(&mut loaded)?;
        let services = Services::adopt(&mut loaded, &in_flows, carried.entries())?;
        let frontends = Frontends::adopt(&mut loaded)?;
        let mut addresses = Addresses::adopt(&mut loaded, &frontends)?;
        let service_cidrs = Networks::adopt(&mut loaded, ["SERVICE_CIDRS_V4", "SERVICE_CIDRS_V6"])?;
        addresses.look_at(service_cidrs.held())?;
        let pod_cidrs = Networks::adopt(&mut loaded, ["POD_CIDRS_V4", "POD_CIDRS_V6"])?;
        let has_opt_out = options.sockets.as_ref().is_some_and(|it| it.has_opt_out);
        let sources = Sources::adopt(&mut loaded)?;
        let mut socket_clients = SocketClients::adopt(&mut loaded)?;
        if !has_opt_out {
            // Nobody follows them: they would be out of date when somebody asks for them again.
            socket_clients.set(&BTreeSet::new())?;
        }
        let ports = PortsWatch::adopt(&mut loaded)?;
        let drops = Drops::adopt(&mut loaded)?;
        let handover = Handover::adopt(&mut loaded)?;
        let edges = Edges::adopt(&mut loaded)?;
        let turnovers = Turnovers::adopt(&mut loaded)?;
        let devices = Devices::adopt(
            loaded,
            &options.pins,
            (options.attach, options.xdp),
            options.sockets.as_ref(),
            succession,
        )?;
        Ok(Self {
            services,
            frontends,
            addresses,
            service_cidrs,
            pod_cidrs,
            socket_clients,
            sources,
            devices,
            drops,
            carried,
            flows,
            expiry: Expiry::default(),
            edges,
            turnovers,
            ports,
            handover,
        })
    }

    /// Brings the ports of the named services to the wanted state. Ports of a service that are
    /// not among the wanted ones are removed.
    ///
    /// # Errors
    /// The first refusal, after everything else has been applied; calling again with the same
    /// services tries again.
    pub fn apply(
        &mut self,
        wanted: &[(ObjectName, Vec<WantedPort>)],
    ) -> Result<Applied, DatapathError> {
        let mut applied = Applied::default();
        let mut first_error = None;
        let mut added = Vec::new();
        let mut removed = Vec::new();
        for (name, ports) in wanted {
            for key in self.services.ports_of(name) {
                if !ports.iter().any(|port| port.key == key) {
                    removed.push(key);
                }
            }
            for port in ports {
                match self.services.put(port) {
                    Ok((service, outcome)) => {
                        match outcome {
                            Put::Unchanged => applied.unchanged += 1,
                            Put::Written => {
                                applied.written += 1;
                                applied.udp |= port.key.protocol == Protocol::Udp;
                                applied.endpoints += port.range.endpoints.len();
                            }
                        }
                        added.push((service, port));
                    }
                    Err(error) => {
                        first_error.get_or_insert(error);
                    }
                }
            }
        }
        let removed_ids: Vec<u32> = removed
            .iter()
            .filter_map(|key| self.services.id_of(key))
            .collect();
        let changes = self.frontends.plan(&added, &removed_ids);
        let lost = changes.lost.iter().filter_map(|(place, _)| place.address);
        self.expiry.withdrawn(removed_ids, lost);
        let mut note = |outcome: Result<(), DatapathError>| {
            if let Err(error) = outcome {
                first_error.get_or_insert(error);
            }
        };
        note(self.addresses.withdraw(&changes));
        note(self.frontends.write(&changes));
        note(self.addresses.announce(&changes));
        for key in removed {
            note(self.services.remove(&key));
            applied.removed += 1;
            applied.udp |= key.protocol == Protocol::Udp;
        }
        first_error.map_or(Ok(applied), Err)
    }

    /// Makes the maps hold the source ranges that the services have; yields how many entries did
    /// not stand there, or stood there in vain.
    pub fn repair_source_ranges(&mut self) -> Result<usize, DatapathError> {
        self.services.repair_sources()
    }

    /// The services that the maps hold, for finding what is no longer wanted after a restart.
    #[must_use]
    pub fn service_names(&self) -> BTreeSet<ObjectName> {
        self.services.names()
    }

    /// The service that has a port of this id.
    #[must_use]
    pub fn service_name(&self, id: u32) -> Option<&ObjectName> {
        self.services.name_of(id)
    }

    /// The service ports that are to be balanced consistently, but for which there is no table: at random.
    #[must_use]
    pub fn without_table(&self) -> impl ExactSizeIterator<Item = &PortKey> {
        self.services.without_table()
    }

    /// Whether the maps hold this service.
    #[must_use]
    pub fn has_service(&self, name: &ObjectName) -> bool {
        self.services.holds(name)
    }

    /// The services that the maps hold, by the ids of their ports.
    pub fn services_by_id(&self) -> impl Iterator<Item = (u32, &ObjectName)> {
        self.services.by_id()
    }

    /// The packets that were dropped, and the sockets that were refused, by the service's id and the
    /// reason; of the least common ones the kernel may have forgotten the count.
    pub fn drops(&self) -> Result<BTreeMap<(u32, Counter), u64>, DatapathError> {
        self.drops.counts()
    }

    /// What services have carried, by the ids of their ports; under zero, those for whose ids there is no room.
    pub fn traffic(&self) -> Result<BTreeMap<u32, Traffic>, DatapathError> {
        self.carried.read(self.services.by_id().map(|(id, _)| id))
    }

    /// How full the maps are of which that is known without walking them; the flow table is in [`Seen`].
    #[must_use]
    pub fn fills(&self) -> Vec<MapFill> {
        let mut fills = self.services.fills().to_vec();
        fills.extend(self.frontends.fills());
        fills.extend(self.addresses.fills());
        fills.push(self.socket_clients.fill());
        fills.push(self.devices.fill());
        fills
    }

    /// Whether sockets wait for [`Self::attach_sockets`].
    #[must_use]
    pub const fn awaits_sockets(&self) -> bool {
        self.devices.awaits_sockets()
    }

    /// Attaches to sockets what [`Self::open`] has left for later, for there was nothing in force: it takes a tenth of
    /// a second, in which packets are translated.
    pub fn attach_sockets(&mut self) -> Result<(), DatapathError> {
        self.devices.attach_sockets()
    }

    /// A way to find sockets whose endpoint is gone, where somebody is to end them.
    #[must_use]
    pub fn stale_sockets(&self) -> Option<StaleSockets> {
        self.devices.stale_sockets().cloned()
    }

    /// Takes note of this node's addresses, and of those on which NodePorts answer.
    pub fn set_node_addresses(
        &mut self,
        own: &BTreeSet<IpAddr>,
        node_ports: &BTreeSet<IpAddr>,
    ) -> Result<(), DatapathError> {
        self.addresses.set_node(own, node_ports)
    }

    /// Takes note of the networks that cluster IPs are taken from: what is in them and no
    /// service's is dropped, so the services must be in force before.
    pub fn set_service_cidrs(&mut self, networks: &[IpNet]) -> Result<(), DatapathError> {
        self.addresses.look_at(networks.iter().copied())?;
        self.service_cidrs.set(networks)
    }

    /// Takes note of the networks of this node's pods, under [`LocalClients::Networks`].
    pub fn set_pod_cidrs(&mut self, networks: &[IpNet]) -> Result<(), DatapathError> {
        self.pod_cidrs.set(networks)
    }

    /// Makes these the cgroups of the pods that are balanced at the socket, where pods may opt out.
    pub fn set_socket_clients(&mut self, wanted: &BTreeSet<u64>) -> Result<(), DatapathError> {
        self.socket_clients.set(wanted)
    }

    /// Makes these the addresses that this node sends from, by ifindex.
    pub fn set_sources(&mut self, wanted: &BTreeMap<u32, Source>) -> Result<(), DatapathError> {
        self.sources.set(wanted)
    }

    /// Attaches to these devices, and lets go of all others.
    ///
    /// # Errors
    /// The first device that could not be attached, after all others have been.
    pub fn set_devices(&mut self, wanted: &[Attachment]) -> Result<(), DatapathError> {
        self.devices.set(wanted)
    }

    /// The devices that are to be attached, and whether they are.
    #[must_use]
    pub fn device_states(&self) -> Vec<DeviceState> {
        self.devices.states()
    }

    /// By what programs are attached to devices: `tcx` or `clsact`.
    #[must_use]
    pub const fn attach_means(&self) -> &'static str {
        self.devices.means()
    }

    /// What it took to load the programs that this process has loaded.
    #[must_use]
    pub fn program_loads(&self) -> &[ProgramLoad] {
        self.devices.loads()
    }

    /// Whether no frontend is in force.
    #[must_use]
    pub fn serves_nothing(&self) -> bool {
        self.frontends.in_force().next().is_none()
    }

    /// Whether datagrams of flows that are not known are left to another proxy, and noted as its.
    pub fn leave_datagrams(&mut self, is_on: bool) -> Result<(), DatapathError> {
        self.handover.leave_datagrams(is_on)
    }

    /// Whether TCP segments that open nothing and belong to no flow are answered with a reset, as nobody
    /// else knows their connection. Until this is said, they are left alone.
    pub fn reset_unknown(&mut self, is_on: bool) -> Result<(), DatapathError> {
        self.handover.reset_unknown(is_on)
    }

    /// Whether they are.
    #[must_use]
    pub fn resets_unknown(&self) -> bool {
        self.handover.resets_unknown()
    }

    /// The endpoints towards which no source port was free since they were last asked for, and how many flows
    /// were refused for that.
    pub fn exhausted_ports(&mut self) -> Result<Vec<(Destination, u32)>, DatapathError> {
        self.ports.look()
    }
}

/// Removes every trace: links, filters, maps, pins, of this and every other version.
pub fn clean_up(pins: &Pins) -> Result<Removed, DatapathError> {
    let filters = tc::remove_filters()?;
    let removed = pins.remove()?;
    Ok(Removed { filters, ..removed })
}
