//! What an operator may choose about which traffic is served, and how. Pure values; `cli` and the
//! configuration file make them, the plan, the datapath and the agent act on them.

mod serve;

use std::net::IpAddr;

use ipnet::IpNet;
use netproxy_common::LocalClients;

use crate::model::Balancing;

pub use self::serve::{HEALTHZ_PORT, METRICS_PORT, SYNC_PERIOD, ServeSettings};

/// The settings of an agent. The default is what needs no touching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which of this node's addresses NodePorts answer on.
    pub node_port_addresses: NodePortAddresses,
    /// Addresses that take the place of the Node object's (`bindAddress`), one per family at most.
    pub node_ips: Vec<IpAddr>,
    /// Who counts as a pod of this node under `externalTrafficPolicy: Local`.
    pub local_pods: LocalPods,
    /// Which clients' addresses are hidden from endpoints.
    pub masquerade: Masquerade,
    /// Whether `spec.externalIPs` are served (`AllowServiceExternalIPs`, KEP-5707).
    pub serves_external_ips: bool,
    /// How clients of external destinations have endpoints of services that do not say it themselves.
    pub external_balancing: Balancing,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_port_addresses: NodePortAddresses::default(),
            node_ips: Vec::new(),
            local_pods: LocalPods::default(),
            masquerade: Masquerade::default(),
            serves_external_ips: true,
            external_balancing: Balancing::default(),
        }
    }
}

/// `nodePortAddresses`: the addresses that meet any of these. A family of which nothing is
/// selected by `primary`, `all` or a network is not restricted, as in kube-proxy, unless
/// `localhost` is all there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePortAddresses {
    /// The Node object's addresses.
    pub primary: bool,
    /// 127.0.0.1 and `::1`, for processes of the node.
    pub localhost: bool,
    /// Every address of the node.
    pub all: bool,
    /// Addresses of the node inside these networks.
    pub networks: Vec<IpNet>,
}

impl Default for NodePortAddresses {
    fn default() -> Self {
        Self {
            primary: true,
            localhost: true,
            all: false,
            networks: Vec::new(),
        }
    }
}

/// How pods of this node are told from other clients (`detectLocalMode`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalPods {
    /// By the device that a packet came in on, and the route back through it.
    #[default]
    Device,
    /// By address: `ClusterCIDR`.
    Networks(Vec<IpNet>),
    /// By address, in this Node's `spec.podCIDRs`: `NodeCIDR`.
    NodeCidrs,
    /// By the bridge that the device is a port of: `BridgeInterface`.
    Bridge(String),
    /// By the beginning of the device's name: `InterfaceNamePrefix`.
    NamePrefix(String),
    /// Not at all: `ClusterCIDR` without one.
    Nobody,
}

impl LocalPods {
    /// What the programs go by.
    #[must_use]
    pub const fn clients(&self) -> LocalClients {
        match self {
            Self::Device => LocalClients::Device,
            Self::Networks(_) | Self::NodeCidrs => LocalClients::Networks,
            Self::Bridge(_) | Self::NamePrefix(_) => LocalClients::MarkedDevices,
            Self::Nobody => LocalClients::Nobody,
        }
    }
}

/// Which clients' addresses are hidden behind the node's although the answer would come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Masquerade {
    /// Nobody's.
    #[default]
    Needed,
    /// As kube-proxy does: those of external destinations under `externalTrafficPolicy: Cluster`,
    /// and of clients of cluster IPs that are no pods of this node.
    External,
    /// Those of pods asking for cluster IPs, too: `masqueradeAll`.
    All,
}

/// Which sockets are ended when their endpoint is gone, so that whoever waits on them starts afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termination {
    /// Connected UDP sockets, whose endpoint no longer serves. Without it they are balanced packet by
    /// packet.
    pub udp: bool,
    /// TCP connections to an endpoint that its service no longer has at all, not even draining.
    pub tcp: bool,
}

impl Termination {
    /// None.
    pub const NONE: Self = Self {
        udp: false,
        tcp: false,
    };

    /// Whether there is any.
    #[must_use]
    pub const fn is_wanted(self) -> bool {
        self.udp || self.tcp
    }
}

impl Default for Termination {
    fn default() -> Self {
        Self {
            udp: true,
            tcp: false,
        }
    }
}

/// Which processes are sent to endpoints by their sockets, without any packet to a frontend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SocketBalancing {
    /// All of the node.
    #[default]
    All,
    /// Those in the host's network namespace.
    HostOnly,
    /// None.
    Off,
}
