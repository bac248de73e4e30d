//! Random cases. A seed and a number make the same case, always: every case has a generator of its own.
//!
//! Only what the API server takes is made, and only what decides kube-proxy: were two entries for one
//! endpoint to differ other than in termination, the order of its hash map would.

use fastrand::Rng;

use crate::{
    case::{
        Case, Endpoint, Family, IpMode, Kind, NodeName, Policy, Port, Protocol, Server, Service,
        Slice, SlicePort, State,
    },
    change,
};

/// What servers listen on, by TCP and UDP.
pub(crate) const SERVERS_PORTS: [u16; 3] = [8080, 8081, 8082];
/// What services listen on.
const SERVICE_PORTS: [u16; 4] = [53, 80, 443, 9000];
/// Ranges of which some have the outside client, pods or nodes in them.
const SOURCE_RANGES: [&str; 7] = [
    "172.31.0.101/32",
    "fd31::101/128",
    "172.31.0.0/24",
    "10.244.0.0/16",
    "fd10:244::/32",
    "192.0.2.0/24",
    "0.0.0.0/0",
];

/// The case `number` of `seed`.
pub(crate) fn case(seed: u64, number: u64) -> Case {
    // Seeds and numbers are small: neighbours must not share their generators.
    let mut rng = Rng::with_seed(seed.rotate_left(32) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let count = if rng.u8(0..10) < 7 { 1 } else { 2 };
    let first: State = (0..count).map(|_| service(&mut rng)).collect();
    let changes = rng.usize(0..=2);
    let mut steps = vec![first];
    for _ in 0..changes {
        let last = &steps[steps.len() - 1];
        steps.push(change::of(last, &mut rng));
    }
    Case {
        name: format!("{seed}-{number}"),
        steps,
        at_sockets: false,
    }
}

fn service(rng: &mut Rng) -> Service {
    let families = match rng.u8(0..10) {
        0..4 => vec![Family::V4],
        4..6 => vec![Family::V6],
        6..8 => vec![Family::V4, Family::V6],
        _ => vec![Family::V6, Family::V4],
    };
    let kind = one_of(rng, &[Kind::ClusterIp, Kind::NodePort, Kind::LoadBalancer]);
    let mut service = Service {
        exists: true,
        has_other_proxy: chance(rng, 3),
        families,
        kind,
        internal_policy: policy(rng),
        external_policy: policy(rng),
        has_affinity: chance(rng, 20),
        has_external_ip: chance(rng, 25),
        vip: chance(rng, 85).then(|| one_of(rng, &[IpMode::Unset, IpMode::Vip, IpMode::Proxy])),
        source_ranges: if chance(rng, 25) {
            source_ranges(rng)
        } else {
            Vec::new()
        },
        has_node_ports: !chance(rng, 20),
        ports: ports(rng),
        slices: Vec::new(),
    };
    let characters = Characters::new(rng);
    for family in service.families.clone() {
        for number in 0..one_of(rng, &[0, 1, 1, 1, 2, 2, 3]) {
            let slice = slice(rng, &service.ports, family, number, &characters);
            service.slices.push(slice);
        }
    }
    if chance(rng, 8) {
        // Of no family that the service has, so that it must not matter.
        if let [only] = service.families[..] {
            let other = if only == Family::V4 {
                Family::V6
            } else {
                Family::V4
            };
            let slice = slice(rng, &service.ports, other, 0, &characters);
            service.slices.push(slice);
        }
    }
    service
}

fn ports(rng: &mut Rng) -> Vec<Port> {
    let count = one_of(rng, &[1, 1, 1, 2, 2, 3]);
    let mut ports: Vec<Port> = Vec::new();
    while ports.len() < count {
        let protocol = one_of(rng, &[Protocol::Tcp, Protocol::Tcp, Protocol::Udp]);
        let number = one_of(rng, &SERVICE_PORTS);
        if ports
            .iter()
            .any(|it| it.protocol == protocol && it.number == number)
        {
            continue;
        }
        let index = ports.len();
        ports.push(Port {
            name: format!("p{index}"),
            protocol,
            number,
            place: u16::try_from(index).unwrap_or_default(),
        });
    }
    if count == 1 && rng.bool() {
        ports[0].name = String::new();
    }
    ports
}

/// A new slice of a service with these ports.
pub(crate) fn slice(
    rng: &mut Rng,
    ports: &[Port],
    family: Family,
    number: usize,
    characters: &Characters,
) -> Slice {
    let mut slice_ports = Vec::new();
    for port in ports {
        if chance(rng, 8) {
            continue;
        }
        slice_ports.push(SlicePort {
            name: port.name.clone(),
            protocol: port.protocol,
            number: (!chance(rng, 4)).then(|| one_of(rng, &SERVERS_PORTS)),
        });
    }
    if chance(rng, 5) {
        slice_ports.push(SlicePort {
            name: "foreign".to_owned(),
            protocol: Protocol::Tcp,
            number: Some(SERVERS_PORTS[0]),
        });
    }
    let mut servers = Server::ALL.to_vec();
    rng.shuffle(&mut servers);
    servers.truncate(one_of(rng, &[0, 1, 1, 2, 2, 3, 4]));
    // Nodes are rarer endpoints than pods.
    servers.retain(|it| !it.is_host() || chance(rng, 35));
    Slice {
        number,
        family,
        ports: slice_ports,
        endpoints: servers
            .iter()
            .map(|&it| characters.endpoint(rng, it))
            .collect(),
    }
}

/// What the endpoints of a service are like: one server is the same in every slice.
#[derive(Clone, Debug)]
pub(crate) struct Characters {
    all: Vec<Endpoint>,
}

impl Characters {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let hints = Hints::new(rng);
        let is_draining = chance(rng, 15);
        let all = Server::ALL.map(|server| {
            let mut endpoint = Endpoint {
                server,
                ready: None,
                serving: None,
                terminating: None,
                for_zones: Vec::new(),
                for_nodes: Vec::new(),
            };
            set_conditions(rng, &mut endpoint, is_draining);
            hints.give(rng, &mut endpoint);
            endpoint
        });
        Self { all: all.into() }
    }

    /// What a service that is there shows of its endpoints; the rest is made up.
    pub(crate) fn of(service: &Service, rng: &mut Rng) -> Self {
        let mut characters = Self::new(rng);
        for endpoint in service.slices.iter().flat_map(|it| &it.endpoints) {
            for it in &mut characters.all {
                if it.server == endpoint.server {
                    *it = endpoint.clone();
                }
            }
        }
        characters
    }

    fn endpoint(&self, rng: &mut Rng, server: Server) -> Endpoint {
        let found = self.all.iter().find(|it| it.server == server);
        let mut endpoint = found.unwrap_or(&self.all[0]).clone();
        // An address that a new pod has already, while the old one still ends.
        if endpoint.is_ready() && endpoint.terminating != Some(true) && chance(rng, 5) {
            endpoint.ready = Some(false);
            endpoint.terminating = Some(true);
        }
        endpoint
    }
}

/// Random conditions; more of them terminating where a service drains.
pub(crate) fn set_conditions(rng: &mut Rng, endpoint: &mut Endpoint, is_draining: bool) {
    let kinds: &[(Option<bool>, Option<bool>, Option<bool>)] = &[
        (Some(true), Some(true), Some(false)),
        (Some(true), Some(true), Some(false)),
        (Some(true), Some(true), Some(false)),
        (None, None, None),
        (Some(false), Some(false), Some(false)),
        (Some(false), Some(true), Some(true)),
        (Some(false), Some(false), Some(true)),
        // What `publishNotReadyAddresses` makes of one that ends, or is not ready.
        (Some(true), Some(true), Some(true)),
        (Some(true), Some(false), None),
    ];
    let kinds = if is_draining { &kinds[4..] } else { kinds };
    (endpoint.ready, endpoint.serving, endpoint.terminating) = one_of(rng, kinds);
}

/// Whom hints are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hints {
    Nobody,
    OwnZone,
    OwnNode,
    AnyZone,
    Some,
}

impl Hints {
    fn new(rng: &mut Rng) -> Self {
        one_of(
            rng,
            &[
                Self::Nobody,
                Self::Nobody,
                Self::Nobody,
                Self::OwnZone,
                Self::OwnNode,
                Self::AnyZone,
                Self::Some,
            ],
        )
    }

    fn give(self, rng: &mut Rng, endpoint: &mut Endpoint) {
        let node = endpoint.server.node();
        let of = |node: NodeName| (vec![node.zone().to_owned()], vec![node.name().to_owned()]);
        (endpoint.for_zones, endpoint.for_nodes) = match self {
            Self::OwnZone => (of(node).0, Vec::new()),
            Self::OwnNode => of(node),
            Self::AnyZone => (of(one_of(rng, &NodeName::BOTH)).0, Vec::new()),
            Self::Some if rng.bool() => of(node),
            Self::Nobody | Self::Some => (Vec::new(), Vec::new()),
        };
    }
}

pub(crate) fn source_ranges(rng: &mut Rng) -> Vec<String> {
    let mut ranges = SOURCE_RANGES.to_vec();
    rng.shuffle(&mut ranges);
    ranges.truncate(rng.usize(1..=3));
    ranges.into_iter().map(str::to_owned).collect()
}

fn policy(rng: &mut Rng) -> Policy {
    one_of(rng, &[Policy::Cluster, Policy::Cluster, Policy::Local])
}

pub(crate) fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

/// So often in a hundred times.
pub(crate) fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}

#[cfg(test)]
mod tests;
