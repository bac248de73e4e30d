//! What has come from the source since somebody last asked: for measuring, not for planning.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::{EndpointSlice, Family, ObjectName};

/// Changes that were more than repetitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Services that changed.
    pub services: BTreeSet<ObjectName>,
    /// Services whose slices changed.
    pub endpoints: BTreeSet<ObjectName>,
    /// What led to those changes: when it happened, by service.
    pub triggers: BTreeMap<ObjectName, Vec<(Family, Timestamp)>>,
}

/// Triggers that are kept of one service: while the kernel refuses it, more may come without end.
const MOST_TRIGGERS: usize = 64;

impl Arrivals {
    /// A slice of `service` now is so, or (None) gone. When a slice went nobody tells: its
    /// annotation is about an earlier change; so, as in kube-proxy, nothing is said of its service.
    pub(super) fn note_slice(&mut self, service: &ObjectName, slice: Option<&EndpointSlice>) {
        self.endpoints.insert(service.clone());
        let Some(slice) = slice else {
            self.triggers.remove(service);
            return;
        };
        let triggered = slice.triggered_unix_ns.map(i128::from);
        let Some(Ok(triggered)) = triggered.map(Timestamp::from_nanosecond) else {
            return;
        };
        let known = self.triggers.entry(service.clone()).or_default();
        if known.len() < MOST_TRIGGERS {
            known.push((slice.family, triggered));
        }
    }

    /// These came as well, later.
    pub(crate) fn join(&mut self, later: Self) {
        let Self {
            services,
            endpoints,
            triggers,
        } = later;
        self.services.extend(services);
        self.endpoints.extend(endpoints);
        for (service, triggers) in triggers {
            let known = self.triggers.entry(service).or_default();
            let room = MOST_TRIGGERS.saturating_sub(known.len());
            known.extend(triggers.into_iter().take(room));
        }
    }
}
