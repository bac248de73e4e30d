//! Flows that a change of their service may end.

use std::net::SocketAddr;

use netproxy_common::Counter;

use crate::world::{Asker, At as _, Flavour, Outcome, POD_PORT, Shop, World};

/// How far a flow has come when its service changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    Opening,
    Assured,
}

/// A client's flow through the only service. A pod's is an edge flow, the outside's a whole one, a
/// process's one of the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) flavour: Flavour,
    pub(super) asker: Asker,
    pub(super) reached: Reached,
}

impl Exchange {
    /// Of each kind.
    pub(super) fn all(flavours: [Flavour; 2]) -> Vec<Self> {
        let mut exchanges = Vec::new();
        for flavour in flavours {
            for asker in Asker::ALL {
                for reached in [Reached::Opening, Reached::Assured] {
                    exchanges.push(Self {
                        flavour,
                        asker,
                        reached,
                    });
                }
            }
        }
        exchanges
    }

    /// The service, without endpoints.
    pub(super) fn shop(self) -> Shop {
        Shop::new(self.flavour, 1)
    }

    /// The endpoint that it begins with.
    pub(super) fn first(self) -> SocketAddr {
        self.flavour.remote_pod(1).at(POD_PORT)
    }

    /// Another endpoint.
    pub(super) fn second(self) -> SocketAddr {
        self.flavour.remote_pod(2).at(POD_PORT)
    }

    pub(super) fn client(self) -> SocketAddr {
        self.asker.address(self.flavour).at(40_000)
    }

    pub(super) fn frontend(self) -> SocketAddr {
        match self.asker {
            Asker::Outside => self.shop().node_port(),
            Asker::Pod | Asker::Process => self.shop().cluster_ip(),
        }
    }

    /// Serves `shop`, and opens the flow to its only endpoint.
    #[track_caller]
    pub(super) fn open(self, world: &mut World, shop: &Shop) {
        world.forget_flows();
        world.serve(&[shop]);
        let request = self.flavour.first(self.client(), self.frontend());
        let outcome = self.asker.sends(world, &request);
        self.goes_to(&outcome, self.first());
        if self.reached == Reached::Assured {
            self.is_answered(world, self.first(), outcome.source());
            self.goes_to(&self.continues(world), self.first());
        }
        let is_assured = world.flow().is_assured;
        assert_eq!(is_assured, self.reached == Reached::Assured, "{self:?}");
    }

    /// The client's next packet.
    #[track_caller]
    pub(super) fn continues(self, world: &World) -> Outcome {
        let later = self.flavour.later(self.client(), self.frontend());
        self.asker.sends(world, &later)
    }

    #[track_caller]
    pub(super) fn goes_to(self, outcome: &Outcome, endpoint: SocketAddr) {
        assert!(!outcome.is_dropped(), "{self:?}: {outcome:?}");
        assert_eq!(outcome.destination(), endpoint, "{self:?}: {outcome:?}");
    }

    /// The endpoint answers, and the client sees the frontend.
    #[track_caller]
    pub(super) fn is_answered(self, world: &World, endpoint: SocketAddr, source: SocketAddr) {
        let answer = self.flavour.answer(endpoint, source);
        let outcome = match self.asker {
            Asker::Pod => world.egress("pod1", &answer),
            Asker::Outside | Asker::Process => world.ingress("eth0", &answer),
        };
        assert!(!outcome.is_dropped(), "{self:?}: {outcome:?}");
        let tuple = (outcome.source(), outcome.destination());
        assert_eq!(tuple, (self.frontend(), self.client()), "{self:?}");
    }

    /// The flow goes on to the endpoint that it began with.
    #[track_caller]
    pub(super) fn is_kept(self, world: &World) {
        for _ in 0..2 {
            let outcome = self.continues(world);
            self.goes_to(&outcome, self.first());
            self.is_answered(world, self.first(), outcome.source());
        }
        assert_eq!(world.flow().endpoint, self.first(), "{self:?}");
    }

    /// The client's next datagram opens a flow to this endpoint, the only one from then on.
    #[track_caller]
    pub(super) fn moves_to(self, world: &World, endpoint: SocketAddr) {
        let outcome = self.continues(world);
        self.goes_to(&outcome, endpoint);
        self.is_answered(world, endpoint, outcome.source());
        outcome
            .counts(Counter::EndpointGone)
            .counts(Counter::NewFlow);
        self.goes_to(&self.continues(world), endpoint);
        assert_eq!(world.flow().endpoint, endpoint, "{self:?}");
    }
}
