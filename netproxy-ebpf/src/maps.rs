//! Every map. Sizes are defaults; user space may override them when it creates the maps.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SkStorage};
use aya_ebpf::macros::btf_map;
use netproxy_common::event::EVENTS_BYTES;
use netproxy_common::maglev::Table;
use netproxy_common::network::NETWORKS;
use netproxy_common::other_layout::MORE_BYTES;
use netproxy_common::turnover::CLOSED_FLOWS;
use netproxy_common::{
    AddressFlags, Affinity, AffinityKey, Connection, Device, DropKey, Endpoint, Event, Flow,
    FlowKey, Fragment, FragmentKey, Frontend, FrontendKey, Ipv4, Ipv6, Listener, Name, Network,
    PendingUntil, Ports, Prefixes, Range, Service, Source, SourceRange, Talk, Traffic, Turnover,
};

use crate::service::Snapshot;

/// A half of a flow with its key.
#[repr(C)]
pub(crate) struct Half<A> {
    pub(crate) key: FlowKey<A>,
    pub(crate) flow: Flow<A>,
}

/// A flow that is being opened; of one that was open, `flow` alone, when a packet of it is dropped.
#[repr(C)]
pub(crate) struct Opening<A> {
    pub(crate) service: Snapshot,
    pub(crate) endpoint: Endpoint<A>,
    pub(crate) flow: Flow<A>,
}

/// Headers of a packet, as an ICMP error quotes them.
#[repr(C, align(8))]
pub(crate) struct Quote {
    pub(crate) bytes: [u8; QUOTE_BYTES],
}

/// Room for the headers that hooks look at, and to spare.
pub(crate) const QUOTE_BYTES: usize = 256;

const GROWING: usize = BPF_F_NO_PREALLOC as usize;
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

pub(crate) type Addresses<A> = HashMap<A, AddressFlags, 262_144, GROWING>;
pub(crate) type Frontends<A> = HashMap<FrontendKey<A>, Frontend, 262_144, GROWING>;
pub(crate) type Endpoints<A> = Array<Endpoint<A>, 524_288, MMAPABLE>;
pub(crate) type Assured<A> = HashMap<FlowKey<A>, Flow<A>, 524_288, GROWING>;
pub(crate) type Pending<A> = LruHashMap<FlowKey<A>, Flow<A>, 65_536>;
pub(crate) type Closed<A> = Array<FlowKey<A>, { CLOSED_FLOWS as usize }>;
pub(crate) type Halves<A> = PerCpuArray<Half<A>, 1>;
pub(crate) type Openings<A> = PerCpuArray<Opening<A>, 1>;
pub(crate) type PortsTowards<A> = LruHashMap<FrontendKey<A>, Ports, 16_384>;

pub(crate) type Affinities<A> = LruHashMap<AffinityKey<A>, Affinity<A>, 65_536>;
pub(crate) type Fragments<A> = LruHashMap<FragmentKey<A>, Fragment, 16_384>;
pub(crate) type Networks<A> = Array<Network<A>, NETWORKS, MMAPABLE>;
pub(crate) type SourceRanges<A> = LpmTrie<SourceRange<A>, u32, 65_536>;

/// In which prefixes any address means something, by family: packets to all others are not looked at.
#[btf_map]
pub(crate) static PREFIXES: Array<Prefixes, 2> = Array::new();

/// What a destination address means: the first lookup of every packet to such a prefix.
#[btf_map]
pub(crate) static ADDRESSES_V4: Addresses<Ipv4> = Addresses::new();
#[btf_map]
pub(crate) static ADDRESSES_V6: Addresses<Ipv6> = Addresses::new();

/// Which service answers at an address and port.
#[btf_map]
pub(crate) static FRONTENDS_V4: Frontends<Ipv4> = Frontends::new();
#[btf_map]
pub(crate) static FRONTENDS_V6: Frontends<Ipv6> = Frontends::new();

/// Service id -> its current range and generation, one word.
#[btf_map]
pub(crate) static SERVICES: Array<Service, 65_536, MMAPABLE> = Array::new();
/// Headers of the services' endpoints.
#[btf_map]
pub(crate) static RANGES: Array<Range, { 98_304 + MORE_BYTES }, MMAPABLE> = Array::new();
/// Endpoints by value.
#[btf_map]
pub(crate) static ENDPOINTS_V4: Endpoints<Ipv4> = Endpoints::new();
#[btf_map]
pub(crate) static ENDPOINTS_V6: Endpoints<Ipv6> = Endpoints::new();

/// Which endpoint a flow has, where every node is to choose the same: one table for each service port.
#[btf_map]
pub(crate) static MAGLEV: Array<Table, { 64 + MORE_BYTES }, MMAPABLE> = Array::new();

/// Networks that cluster IPs are taken from.
#[btf_map]
pub(crate) static SERVICE_CIDRS_V4: Networks<Ipv4> = Networks::new();
#[btf_map]
pub(crate) static SERVICE_CIDRS_V6: Networks<Ipv6> = Networks::new();
/// Networks whose addresses count as pods of this node, under `LocalClients::Networks`.
#[btf_map]
pub(crate) static POD_CIDRS_V4: Networks<Ipv4> = Networks::new();
#[btf_map]
pub(crate) static POD_CIDRS_V6: Networks<Ipv6> = Networks::new();
/// Networks that may reach load-balancer VIPs, by set.
#[btf_map]
pub(crate) static SOURCE_RANGES_V4: SourceRanges<Ipv4> = SourceRanges::new();
#[btf_map]
pub(crate) static SOURCE_RANGES_V6: SourceRanges<Ipv6> = SourceRanges::new();
/// Which endpoint a client sticks to.
#[btf_map]
pub(crate) static AFFINITY_V4: Affinities<Ipv4> = Affinities::new();
#[btf_map]
pub(crate) static AFFINITY_V6: Affinities<Ipv6> = Affinities::new();

/// Flows: nothing evicts them.
#[btf_map]
pub(crate) static FLOWS_V4: Assured<Ipv4> = Assured::new();
#[btf_map]
pub(crate) static FLOWS_V6: Assured<Ipv6> = Assured::new();
/// Flows beyond what each CPU may open there, and those for which there is no room: a flood may evict them.
#[btf_map]
pub(crate) static PENDING_V4: Pending<Ipv4> = Pending::new();
#[btf_map]
pub(crate) static PENDING_V6: Pending<Ipv6> = Pending::new();
/// Until when there is anything in `PENDING_*`, by family.
#[btf_map]
pub(crate) static PENDING_UNTIL: Array<PendingUntil, 2> = Array::new();
/// When an edge flow was opened last, in seconds of `CLOCK_MONOTONIC`, by family.
#[btf_map]
pub(crate) static EDGE_OPENED: Array<u32, 2> = Array::new();
/// Before when no edge flow was opened that is alive, likewise. Zero: nobody knows.
#[btf_map]
pub(crate) static NO_EDGE_BEFORE: Array<u32, 2> = Array::new();
/// What each CPU has opened and closed, by family.
#[btf_map]
pub(crate) static TURNOVER: PerCpuArray<Turnover, 2> = PerCpuArray::new();
/// Closed flows in `FLOWS_*`, by either half: of each CPU those that it has closed last.
#[btf_map]
pub(crate) static CLOSED_V4: Closed<Ipv4> = Closed::new();
#[btf_map]
pub(crate) static CLOSED_V6: Closed<Ipv6> = Closed::new();

/// The source ports towards a destination.
#[btf_map]
pub(crate) static PORTS_V4: PortsTowards<Ipv4> = PortsTowards::new();
#[btf_map]
pub(crate) static PORTS_V6: PortsTowards<Ipv6> = PortsTowards::new();

/// The ports of datagrams that come in fragments.
#[btf_map]
pub(crate) static FRAGMENTS_V4: Fragments<Ipv4> = Fragments::new();
#[btf_map]
pub(crate) static FRAGMENTS_V6: Fragments<Ipv6> = Fragments::new();

/// Per-CPU room for a half that is being built: two keys and values of IPv6 do not fit the 512
/// bytes that a whole call chain may put on the stack (check_max_stack_depth in
/// kernel/bpf/verifier.c). Programs at tc hooks run with softirqs disabled, hence never nest.
#[btf_map]
pub(crate) static HALVES_V4: Halves<Ipv4> = Halves::new();
#[btf_map]
pub(crate) static HALVES_V6: Halves<Ipv6> = Halves::new();

/// As `HALVES_*`: what is decided about a flow while it is opened.
#[btf_map]
pub(crate) static OPENINGS_V4: Openings<Ipv4> = Openings::new();
#[btf_map]
pub(crate) static OPENINGS_V6: Openings<Ipv6> = Openings::new();
/// As `HALVES_*`: what an ICMP error quotes.
#[btf_map]
pub(crate) static QUOTES: PerCpuArray<Quote, 1> = PerCpuArray::new();
/// Until when this CPU has used up its ICMP errors, in nanoseconds of `CLOCK_MONOTONIC`.
#[btf_map]
pub(crate) static REFUSALS: PerCpuArray<u64, 1> = PerCpuArray::new();

/// What a connected socket asked for and got.
#[btf_map]
pub(crate) static SOCKETS: SkStorage<Connection> = SkStorage::new();
/// What an unconnected datagram socket asked for and got.
#[btf_map]
pub(crate) static TALKS: SkStorage<Talk> = SkStorage::new();

/// What sockets remember, by their cookies, on its way from maps of another layout; see `hooks/memory.rs`. User space
/// makes room when it needs some.
#[btf_map]
pub(crate) static TOLD_CONNECTIONS: HashMap<u64, Connection, 1, GROWING> = HashMap::new();
/// As `TOLD_CONNECTIONS`.
#[btf_map]
pub(crate) static TOLD_TALKS: HashMap<u64, Talk, 1, GROWING> = HashMap::new();

/// Cgroups of the pods that are balanced at the socket, where pods may opt out. The values mean
/// nothing.
#[btf_map]
pub(crate) static SOCKET_CLIENTS: HashMap<u64, u32, 16_384, GROWING> = HashMap::new();

/// Devices that carry pods or the outside, by ifindex.
#[btf_map]
pub(crate) static DEVICES: HashMap<u32, Device, 16_384, GROWING> = HashMap::new();

/// Which address the kernel would send from, by the device that a packet leaves by.
#[btf_map]
pub(crate) static SOURCES: HashMap<u32, Source, 16_384, GROWING> = HashMap::new();

/// Whose packets were dropped, and why. Of the least common drops the counts may be forgotten.
#[btf_map]
pub(crate) static DROPS: LruHashMap<DropKey, u64, 16_384> = LruHashMap::new();

/// What services carry. Not of all that there may be: user space chooses by memory and CPUs.
#[btf_map]
pub(crate) static TRAFFIC: PerCpuArray<Traffic, 16_384> = PerCpuArray::new();

/// How another proxy's connections are treated: `HandoverFlags`.
#[btf_map]
pub(crate) static HANDOVER: Array<u32, 1> = Array::new();

/// Until when no flow is opened, in nanoseconds of `CLOCK_MONOTONIC`; see `pause.rs`.
#[btf_map]
pub(crate) static PAUSE: Array<u64, 1> = Array::new();

/// Reasons and events, by `Counter`.
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<u64, 64> = PerCpuArray::new();

/// What happens, while somebody listens.
#[btf_map]
pub(crate) static EVENTS: RingBuf<Event, { EVENTS_BYTES as usize }> = RingBuf::new();
/// Until when somebody listens, and to what.
#[btf_map]
pub(crate) static LISTENER: Array<Listener, 1> = Array::new();

/// Service id -> name; written and read by user space only.
#[btf_map]
pub(crate) static NAMES: HashMap<u32, Name, 65_536, GROWING> = HashMap::new();
