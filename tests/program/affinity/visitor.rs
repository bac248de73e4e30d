//! Clients that come again and again.

use std::net::{IpAddr, SocketAddr};

use crate::world::{Asker, At as _, Flavour, World};

/// A client that opens one flow after the other.
pub(super) struct Visitor {
    pub(super) flavour: Flavour,
    pub(super) asker: Asker,
    pub(super) address: IpAddr,
    /// Of its last flow.
    pub(super) port: u16,
}

impl Visitor {
    pub(super) fn new(flavour: Flavour, asker: Asker) -> Self {
        Self {
            flavour,
            asker,
            address: asker.address(flavour),
            port: 40_000,
        }
    }

    /// One of many outside.
    pub(super) fn outside(flavour: Flavour, number: u8) -> Self {
        Self {
            address: flavour.client(number),
            ..Self::new(flavour, Asker::Outside)
        }
    }

    /// Opens a flow; yields who is to answer.
    #[track_caller]
    pub(super) fn visits(&mut self, world: &World, frontend: SocketAddr) -> SocketAddr {
        self.port += 1;
        let request = self.flavour.first(self.address.at(self.port), frontend);
        let outcome = self.asker.sends(world, &request);
        assert!(!outcome.is_dropped(), "{outcome:?}");
        let endpoint = outcome.destination();
        assert_ne!(endpoint, frontend, "{outcome:?}");
        endpoint
    }
}

/// Several clients from outside.
pub(super) fn visitors(flavour: Flavour) -> Vec<Visitor> {
    (1..=8)
        .map(|number| Visitor::outside(flavour, number))
        .collect()
}

/// Whom each of them is taken to.
#[track_caller]
pub(super) fn visit(
    visitors: &mut [Visitor],
    world: &World,
    frontend: SocketAddr,
) -> Vec<SocketAddr> {
    visitors
        .iter_mut()
        .map(|visitor| visitor.visits(world, frontend))
        .collect()
}
