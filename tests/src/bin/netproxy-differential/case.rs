//! A case: what a few Services and their EndpointSlices are, and what they become, step by step.
//!
//! Addresses and node ports are not in it: they follow from the slot that a case is run in
//! ([`Slot`](crate::slot::Slot)), so that many cases can be served side by side.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One or more states, applied one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    /// Its name: the seed and the number of the case.
    pub(crate) name: String,
    /// The states; every one has the same services in the same order.
    pub(crate) steps: Vec<State>,
    /// Whether netproxy balances at the socket.
    #[serde(default)]
    pub(crate) at_sockets: bool,
}

/// All services of a case at one time.
pub(crate) type State = Vec<Service>;

/// A Service with its slices.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the properties of a Service, and independent of each other"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Whether the Service is there; its slices are, in either case.
    pub(crate) exists: bool,
    /// The label that hands it to another proxy.
    pub(crate) has_other_proxy: bool,
    pub(crate) families: Vec<Family>,
    pub(crate) kind: Kind,
    pub(crate) internal_policy: Policy,
    /// Takes effect on what is reached from outside only.
    pub(crate) external_policy: Policy,
    /// `sessionAffinity: ClientIP`, with a timeout that no run reaches.
    pub(crate) has_affinity: bool,
    pub(crate) has_external_ip: bool,
    /// Of type `LoadBalancer` only: the address in its status.
    pub(crate) vip: Option<IpMode>,
    /// Of type `LoadBalancer` only.
    pub(crate) source_ranges: Vec<String>,
    /// Of types `NodePort` and `LoadBalancer`; false is `allocateLoadBalancerNodePorts: false`.
    pub(crate) has_node_ports: bool,
    pub(crate) ports: Vec<Port>,
    pub(crate) slices: Vec<Slice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Family {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    ClusterIp,
    NodePort,
    LoadBalancer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Policy {
    Cluster,
    Local,
}

/// `ipMode` of a load balancer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IpMode {
    /// Not given.
    Unset,
    Vip,
    Proxy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Port {
    /// Empty for the only port of a service.
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) number: u16,
    /// Which of the slot's node ports is its, below [`NODE_PORTS`](crate::slot::NODE_PORTS).
    pub(crate) place: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Names it among the slices of its service.
    pub(crate) number: usize,
    pub(crate) family: Family,
    pub(crate) ports: Vec<SlicePort>,
    pub(crate) endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlicePort {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    /// None: not given.
    pub(crate) number: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) server: Server,
    pub(crate) ready: Option<bool>,
    pub(crate) serving: Option<bool>,
    pub(crate) terminating: Option<bool>,
    pub(crate) for_zones: Vec<String>,
    pub(crate) for_nodes: Vec<String>,
}

/// Who answers: two pods on each node, and each node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    A1,
    A2,
    B1,
    B2,
    HostA,
    HostB,
}

impl Server {
    pub(crate) const ALL: [Self; 6] = [
        Self::A1,
        Self::A2,
        Self::B1,
        Self::B2,
        Self::HostA,
        Self::HostB,
    ];

    /// The name it answers with, which is that of its place but for the nodes'.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A1 => "a1",
            Self::A2 => "a2",
            Self::B1 => "b1",
            Self::B2 => "b2",
            Self::HostA => "host-a",
            Self::HostB => "host-b",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|server| server.name() == name)
    }

    pub(crate) fn node(self) -> NodeName {
        match self {
            Self::A1 | Self::A2 | Self::HostA => NodeName::A,
            Self::B1 | Self::B2 | Self::HostB => NodeName::B,
        }
    }

    pub(crate) fn is_host(self) -> bool {
        matches!(self, Self::HostA | Self::HostB)
    }
}

/// One of the two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum NodeName {
    A,
    B,
}

impl NodeName {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    pub(crate) fn zone(self) -> &'static str {
        match self {
            Self::A => "zone-a",
            Self::B => "zone-b",
        }
    }
}

impl Endpoint {
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.unwrap_or(true)
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.serving.unwrap_or(true)
    }
}

impl Service {
    /// Whether the API server takes, and a proxy heeds, `externalTrafficPolicy`.
    pub(crate) fn is_external(&self) -> bool {
        self.kind != Kind::ClusterIp || self.has_external_ip
    }

    /// Whether its ports have node ports.
    pub(crate) fn is_on_nodes(&self) -> bool {
        match self.kind {
            Kind::ClusterIp => false,
            Kind::NodePort => true,
            Kind::LoadBalancer => self.has_node_ports,
        }
    }

    /// The address in its status.
    pub(crate) fn shown_vip(&self) -> Option<IpMode> {
        self.vip.filter(|_| self.kind == Kind::LoadBalancer)
    }

    /// Whether a proxy serves it at all.
    pub(crate) fn is_served(&self) -> bool {
        self.exists && !self.has_other_proxy
    }

    /// The endpoints of a port, slice by slice.
    pub(crate) fn endpoints_of(
        &self,
        port: &Port,
        family: Family,
    ) -> impl Iterator<Item = (&Endpoint, u16)> {
        self.slices
            .iter()
            .filter(move |slice| slice.family == family)
            .flat_map(|slice| slice.endpoints_of(port))
    }
}

impl Slice {
    /// The endpoints of a port, with the number that it has there.
    pub(crate) fn endpoints_of(&self, port: &Port) -> impl Iterator<Item = (&Endpoint, u16)> {
        let is_its = |it: &&SlicePort| it.name == port.name && it.protocol == port.protocol;
        let numbers = self.ports.iter().filter(is_its);
        numbers
            .filter_map(|it| it.number)
            .flat_map(|number| self.endpoints.iter().map(move |it| (it, number)))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        })
    }
}
