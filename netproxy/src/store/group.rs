//! One service and its slices.

use std::collections::BTreeMap;

use crate::model::{EndpointSlice, ObjectName, Service};

/// What is known under one service name. Either part may come first, and either may be missing.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The Service itself.
    pub(super) service: Option<Box<Service>>,
    slices: BTreeMap<ObjectName, Box<EndpointSlice>>,
}

impl Group {
    /// The slices, by name.
    pub(super) fn slices(&self) -> impl Iterator<Item = &EndpointSlice> {
        self.slices.values().map(AsRef::as_ref)
    }

    pub(super) fn insert(&mut self, name: ObjectName, slice: Box<EndpointSlice>) {
        self.slices.insert(name, slice);
    }

    pub(super) fn remove(&mut self, name: &ObjectName) -> Option<Box<EndpointSlice>> {
        self.slices.remove(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { service, slices } = self;
        service.is_none() && slices.is_empty()
    }
}

/// Whether two versions of a slice mean the same endpoints. When the change was triggered is a
/// measurement, not a change.
pub(super) fn say_the_same(a: &EndpointSlice, b: &EndpointSlice) -> bool {
    let EndpointSlice {
        name,
        service,
        family,
        ports,
        endpoints,
        triggered_unix_ns: _,
    } = a;
    *name == b.name
        && *service == b.service
        && *family == b.family
        && *ports == b.ports
        && *endpoints == b.endpoints
}
