//! What the plan asks of the datapath, by value and comparable.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use netproxy_common::service::SEGMENTS;
use netproxy_common::{FrontendKind, Verdict, Window};

use crate::model::{Balancing, Endpoint, Family, Label, ObjectName, Protocol};
use crate::settings::Masquerade;

/// What the plan must know of this node, and of how it is to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its name; endpoints with this `nodeName` are local.
    pub name: Label,
    /// Its zone, for hints.
    pub zone: Option<Label>,
    /// Its own addresses, by which source ranges tell that the node is admitted.
    pub ips: Vec<IpAddr>,
    /// Whose addresses are hidden from endpoints.
    pub masquerade: Masquerade,
    /// Whether `spec.externalIPs` are served.
    pub serves_external_ips: bool,
    /// How external clients have endpoints of services that do not say it themselves.
    pub external_balancing: Balancing,
}

impl NodeView {
    /// The node called `name`, of which nothing else is known or configured.
    pub fn named(name: impl Into<Label>) -> Self {
        Self {
            name: name.into(),
            zone: None,
            ips: Vec::new(),
            masquerade: Masquerade::default(),
            serves_external_ips: true,
            external_balancing: Balancing::default(),
        }
    }

    /// Whether `endpoint` is on this node.
    #[must_use]
    pub fn hosts(&self, endpoint: &Endpoint) -> bool {
        // An empty name is no node's: it stands for a name not known yet.
        endpoint.node.as_ref() == Some(&self.name) && !self.name.is_empty()
    }
}

/// Identifies a service port in one family: the unit of the datapath's updates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// The Service.
    pub service: ObjectName,
    /// The port's name; empty for the only, unnamed one.
    pub port: Label,
    /// Its protocol.
    pub protocol: Protocol,
    /// The family.
    pub family: Family,
}

/// The wanted state of one service port in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedPort {
    /// Which service port.
    pub key: PortKey,
    /// Where clients reach it, without duplicates.
    pub frontends: Vec<WantedFrontend>,
    /// Who answers.
    pub range: WantedRange,
}

/// One frontend of a service port. The protocol is the port's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WantedFrontend {
    /// Its address; None for a NodePort, which is stored once for all node addresses.
    pub address: Option<IpAddr>,
    /// Its port, in host byte order.
    pub port: u16,
    /// How it came to be.
    pub kind: FrontendKind,
}

/// One endpoint, in the form in which it is sorted inside a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WantedEndpoint {
    /// Its address, of the port's family.
    pub address: IpAddr,
    /// Its numeric port, in host byte order.
    pub port: u16,
    /// Whether its `nodeName` is this node.
    pub is_local: bool,
}

/// The endpoints of a service port in segment order, and what each kind of client may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRange {
    /// All endpoints, segment after segment, sorted by (address, port) inside each; an address
    /// and port occurs once.
    pub endpoints: Vec<WantedEndpoint>,
    /// Where each segment ends, as in `netproxy_common::Range::segment_ends`.
    pub segment_ends: [u32; SEGMENTS],
    /// For cluster IPs.
    pub internal: Window,
    /// For external destinations, cluster-wide.
    pub external_cluster: Window,
    /// For external destinations under policy Local; equals `external_cluster` under Cluster.
    pub external_local: Window,
    /// What happens when each window, in the order above, is empty.
    pub verdicts: [Verdict; 3],
    /// `externalTrafficPolicy: Local` applies.
    pub is_external_local: bool,
    /// Seconds of client affinity; zero: none.
    pub affinity_s: u32,
    /// Networks that may reach the load-balancer VIPs, of the port's family, aggregated and
    /// sorted; empty: all may.
    pub source_ranges: Vec<IpNet>,
    /// Clients of cluster IPs are hidden from the endpoints.
    pub masquerades_internal: bool,
    /// Clients of external destinations are, where the policy lets them use any endpoint.
    pub masquerades_external: bool,
    /// How clients of cluster IPs have their endpoint. At random where they are kept to this node: others have other
    /// endpoints there.
    pub internal_balancing: Balancing,
    /// How clients of external destinations have theirs, where the policy lets them use any.
    pub external_balancing: Balancing,
}

impl WantedPort {
    /// Whether clients reach it otherwise than by a cluster IP.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.frontends.iter().any(WantedFrontend::is_external)
    }
}

impl WantedRange {
    /// The endpoints of the window that is to be balanced consistently, in their places there; None: there is none, or
    /// nothing to choose.
    #[must_use]
    pub fn consistent(&self) -> Option<Vec<SocketAddr>> {
        let window = match (self.internal_balancing, self.external_balancing) {
            (Balancing::Consistent, _) => self.internal,
            (_, Balancing::Consistent) => self.external_cluster,
            _ => return None,
        };
        let places = window.offset as usize..(window.offset + window.count) as usize;
        let endpoints = self.endpoints.get(places).filter(|them| them.len() > 1)?;
        let socket = |it: &WantedEndpoint| SocketAddr::new(it.address, it.port);
        Some(endpoints.iter().map(socket).collect())
    }
}

impl WantedFrontend {
    /// Whether it is other than a cluster IP.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.kind != FrontendKind::ClusterIp
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            port,
            protocol,
            family,
        } = self;
        write!(f, "{service}")?;
        if !port.is_empty() {
            write!(f, ":{port}")?;
        }
        write!(f, " ({protocol}, {family})")
    }
}
