//! The last known endpoints of the API server's own service.
//!
//! The agent itself, and what would repair the cluster, reach the API server through
//! `default/kubernetes`. If that service seems to have lost its last endpoint, the old ones are
//! more likely to answer than none: removing them would saw off the branch the agent sits on, and
//! it would never learn of the new ones. They are kept per family until usable ones appear, or
//! until the Service is gone.

use tracing::{info, warn};

use super::group::Group;
use crate::model::{Endpoint, EndpointSlice, Family, ObjectName};

/// Whether this is the API server's own service.
pub(super) fn applies_to(service: &ObjectName) -> bool {
    &*service.namespace == "default" && &*service.name == "kubernetes"
}

/// What is kept, per family.
#[derive(Debug, Default)]
pub(super) struct LastKnown {
    v4: Kept,
    v6: Kept,
}

/// The last slices of one family that had a usable endpoint.
#[derive(Debug, Default)]
pub(super) struct Kept {
    slices: Vec<EndpointSlice>,
    /// They stand in for the present ones.
    is_in_use: bool,
}

/// A turn of events that an operator should hear of, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// No usable endpoint is left: the last known ones stand in from now on.
    Lost,
    /// There are usable ones again.
    Recovered,
    /// The Service went away while the last known ones stood in.
    Gone,
}

impl LastKnown {
    /// Takes note of the service's present state; None if the Service does not exist.
    pub(super) fn follow(&mut self, group: Option<&Group>) {
        let Self { v4, v6 } = self;
        for (family, kept) in [(Family::V4, v4), (Family::V6, v6)] {
            let present = group.map(|group| {
                let slices = group.slices().filter(|slice| slice.family == family);
                slices.collect::<Vec<_>>()
            });
            if let Some(turn) = kept.follow(present.as_deref()) {
                turn.log(family);
            }
        }
    }

    /// Whether the kept slices stand in for those of `family`.
    pub(super) const fn is_in_use(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4.is_in_use,
            Family::V6 => self.v6.is_in_use,
        }
    }

    /// The slices that stand in for present ones.
    pub(super) fn slices_in_use(&self) -> impl Iterator<Item = &EndpointSlice> {
        let Self { v4, v6 } = self;
        [v4, v6]
            .into_iter()
            .filter(|kept| kept.is_in_use)
            .flat_map(|kept| &kept.slices)
    }
}

impl Kept {
    /// Takes note of the present slices; None if the Service does not exist.
    pub(super) fn follow(&mut self, present: Option<&[&EndpointSlice]>) -> Option<Turn> {
        let was_in_use = self.is_in_use;
        let Some(present) = present else {
            *self = Self::default();
            return was_in_use.then_some(Turn::Gone);
        };
        if present.iter().any(|slice| is_usable(slice)) {
            self.slices = present.iter().copied().cloned().collect();
            self.is_in_use = false;
            return was_in_use.then_some(Turn::Recovered);
        }
        self.is_in_use = !self.slices.is_empty();
        (self.is_in_use && !was_in_use).then_some(Turn::Lost)
    }
}

impl Turn {
    fn log(self, family: Family) {
        match self {
            Self::Lost => warn!(
                %family,
                "the Service default/kubernetes has no usable endpoint left: the last known ones \
                 are kept, as the API server could not be reached without; check that it is \
                 running and that its EndpointSlice lists it"
            ),
            Self::Recovered => info!(
                %family,
                "the Service default/kubernetes has usable endpoints again, which replace the \
                 last known ones"
            ),
            Self::Gone => info!(
                %family,
                "the Service default/kubernetes is gone, and its last known endpoints with it"
            ),
        }
    }
}

/// Whether a new connection could be sent to any of the slice's endpoints.
fn is_usable(slice: &EndpointSlice) -> bool {
    let is_usable =
        |endpoint: &Endpoint| endpoint.ready || (endpoint.serving && endpoint.terminating);
    !slice.ports.is_empty() && slice.endpoints.iter().any(is_usable)
}
