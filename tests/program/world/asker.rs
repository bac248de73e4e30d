//! The three kinds of clients.

use std::net::IpAddr;

use super::World;
use super::outcome::Outcome;
use super::topology::Flavour;

/// A client, by where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The pod behind `pod1`.
    Pod,
    /// Somebody outside of the cluster, by `eth0`.
    Outside,
    /// A process of this node, whose packets leave by `eth0`.
    Process,
}

impl Asker {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::Pod, Self::Outside, Self::Process];

    /// Its address.
    pub(crate) fn address(self, flavour: Flavour) -> IpAddr {
        match self {
            Self::Pod => flavour.local_pod(1),
            Self::Outside => flavour.outside(),
            Self::Process => flavour.node(),
        }
    }

    /// It sends a packet.
    #[must_use]
    pub(crate) fn sends(self, world: &World, packet: impl Into<Vec<u8>>) -> Outcome {
        match self {
            Self::Pod => world.ingress("pod1", packet),
            Self::Outside => world.ingress("eth0", packet),
            Self::Process => world.sent("eth0", packet),
        }
    }
}
