//! Where probes start.

use std::net::IpAddr;

use crate::case::{NodeName, Server};

/// A place that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Vantage {
    /// The pod `a1` on node `a`, which is also an endpoint of many services.
    PodA,
    /// The pod `b1` on node `b`.
    PodB,
    /// A process of node `a`.
    HostA,
    /// A process of node `b`.
    HostB,
    /// A machine outside of the cluster, whose way to services is through node `a`.
    Outside,
}

impl Vantage {
    pub(crate) const ALL: [Self; 5] = [
        Self::PodA,
        Self::PodB,
        Self::HostA,
        Self::HostB,
        Self::Outside,
    ];

    /// The name of its place in the lab.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Self::PodA => "a1",
            Self::PodB => "b1",
            Self::HostA => "a",
            Self::HostB => "b",
            Self::Outside => "outside",
        }
    }

    /// The node that it is on, or is.
    pub(crate) fn node(self) -> Option<NodeName> {
        match self {
            Self::PodA | Self::HostA => Some(NodeName::A),
            Self::PodB | Self::HostB => Some(NodeName::B),
            Self::Outside => None,
        }
    }

    /// The node that translates what it sends to cluster IPs and to addresses of load balancers.
    pub(crate) fn gateway(self) -> NodeName {
        self.node().unwrap_or(NodeName::A)
    }

    pub(crate) fn is_pod(self) -> bool {
        matches!(self, Self::PodA | Self::PodB)
    }

    pub(crate) fn is_host(self) -> bool {
        matches!(self, Self::HostA | Self::HostB)
    }

    /// The server in the same place.
    pub(crate) fn server(self) -> Option<Server> {
        match self {
            Self::PodA => Some(Server::A1),
            Self::PodB => Some(Server::B1),
            Self::HostA => Some(Server::HostA),
            Self::HostB => Some(Server::HostB),
            Self::Outside => None,
        }
    }
}

/// Whose address a server saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// The client's own.
    Own,
    /// A node's, which is not the client.
    Node(NodeName),
    /// Somebody else's.
    Other(IpAddr),
}
