//! Flows of each kind, opened.

use std::net::{IpAddr, SocketAddr};

use super::World;
use super::outcome::Outcome;
use super::packet::Packet;
use super::service::Shop;
use super::topology::{At as _, Flavour};

/// A flow of each kind, by where its client is and where its endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// A pod of this node, and one elsewhere.
    Edge,
    /// Both outside.
    Whole,
    /// A pod that reaches itself.
    Hairpin,
    /// A process of this node, and a pod elsewhere.
    Host,
    /// A process of this node, and a pod of it.
    HostToPod,
}

/// A flow that has been opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) course: Course,
    pub(crate) flavour: Flavour,
    pub(crate) client: SocketAddr,
    pub(crate) frontend: SocketAddr,
    /// Where the endpoint takes the packets to come from.
    pub(crate) source: SocketAddr,
    pub(crate) endpoint: SocketAddr,
}

impl Course {
    /// Every course.
    pub(crate) const ALL: [Self; 5] = [
        Self::Edge,
        Self::Whole,
        Self::Hairpin,
        Self::Host,
        Self::HostToPod,
    ];

    /// Who asks.
    pub(crate) fn client(self, flavour: Flavour) -> IpAddr {
        match self {
            Self::Edge | Self::Hairpin => flavour.local_pod(1),
            Self::Whole => flavour.outside(),
            Self::Host | Self::HostToPod => flavour.node(),
        }
    }

    /// Who answers.
    pub(crate) fn shop(self, flavour: Flavour) -> Shop {
        let shop = Shop::new(flavour, 1);
        match self {
            Self::Edge | Self::Whole | Self::Host => shop.elsewhere(flavour.remote_pod(1)),
            Self::Hairpin | Self::HostToPod => shop.here(flavour.local_pod(1)),
        }
    }

    /// The client's packet comes to this node, or is sent by it.
    #[must_use]
    pub(crate) fn request(self, world: &World, packet: impl Into<Vec<u8>>) -> Outcome {
        match self {
            Self::Edge | Self::Hairpin => world.ingress("pod1", packet),
            Self::Whole => world.ingress("eth0", packet),
            Self::Host | Self::HostToPod => world.sent("eth0", packet),
        }
    }

    /// Something comes from where the endpoint is.
    #[must_use]
    pub(crate) fn answer(self, world: &World, packet: impl Into<Vec<u8>>) -> Outcome {
        match self {
            Self::Edge => world.egress("pod1", packet),
            Self::Whole | Self::Host => world.ingress("eth0", packet),
            Self::Hairpin | Self::HostToPod => world.ingress("pod1", packet),
        }
    }

    /// Opens a flow on a node that has none.
    #[must_use]
    pub(crate) fn open(self, world: &mut World, flavour: Flavour) -> Opened {
        world.forget_flows();
        let shop = self.shop(flavour);
        world.serve(&[&shop]);
        let client = self.client(flavour).at(40_000);
        let frontend = shop.cluster_ip();
        let requested = self.request(world, &flavour.first(client, frontend));
        Opened {
            course: self,
            flavour,
            client,
            frontend,
            source: requested.source(),
            endpoint: shop.endpoints()[0],
        }
    }
}

impl Opened {
    /// Every course of every flavour.
    pub(crate) fn each(check: impl FnMut(&World, Self)) {
        Self::each_of(&Flavour::ALL, check);
    }

    /// Every course of each of these flavours.
    pub(crate) fn each_of(flavours: &[Flavour], mut check: impl FnMut(&World, Self)) {
        let mut world = World::new();
        for flavour in flavours.iter().copied() {
            for course in Course::ALL {
                let opened = course.open(&mut world, flavour);
                check(&world, opened);
            }
        }
    }

    /// The client's packet as it sent it, and as it goes on from here.
    pub(crate) fn requests(&self) -> (Packet, Packet) {
        let sent = self.flavour.later(self.client, self.frontend).ttl(33);
        let translated = sent.clone().from(self.source).to(self.endpoint);
        (sent, translated)
    }

    /// The endpoint's answer as it sent it, and as it goes on from here.
    pub(crate) fn answers(&self) -> (Packet, Packet) {
        let sent = self.flavour.answer(self.endpoint, self.source).ttl(33);
        let translated = sent.clone().from(self.frontend).to(self.client);
        (sent, translated)
    }
}
