//! The cluster's state as far as this node needs it, and which services must be planned again.
//!
//! One task owns the [`Store`]: it applies each [`Change`] in the order of arrival, takes the
//! names of the dirty services and plans them. A change that leaves an object as it was makes
//! nothing dirty. Slices of services that do not exist (yet) are kept, as the two arrive
//! independently.

mod arrivals;
mod clients;
mod group;
mod last_known;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

pub use self::arrivals::Arrivals;

use self::clients::Clients;
use self::group::Group;
use self::last_known::LastKnown;
use crate::model::{Change, Endpoint, EndpointSlice, Label, Node, ObjectName, PodUid, Service};
use crate::plan::{
    ExplainedPort, HealthCheck, NodeView, WantedPort, explain_service, health_check, node_ips,
    plan_service,
};
use crate::settings::Settings;

/// Services, the slices of each, this node's Node, and what its pods say of themselves.
#[derive(Debug)]
pub struct Store {
    groups: FxHashMap<ObjectName, Group>,
    /// Which service each known slice belongs to.
    owners: FxHashMap<ObjectName, ObjectName>,
    /// Endpoints of the API server's service, for when it seems to have none.
    last_known: LastKnown,
    node: Option<Box<Node>>,
    view: NodeView,
    service_cidrs: BTreeMap<Label, Vec<IpNet>>,
    clients: Clients,
    /// Configured addresses that take the place of the Node's.
    node_ips: Vec<IpAddr>,
    dirty: BTreeSet<ObjectName>,
    arrivals: Arrivals,
    is_complete: bool,
}

impl Store {
    /// An empty store that learns the node's name from its Node object; until then no endpoint is
    /// local.
    #[must_use]
    pub fn new() -> Self {
        Self::on_node("")
    }

    /// An empty store on the node called `name`, whether or not it has a Node object.
    #[must_use]
    pub fn on_node(name: impl Into<Label>) -> Self {
        Self {
            groups: FxHashMap::default(),
            owners: FxHashMap::default(),
            last_known: LastKnown::default(),
            node: None,
            view: NodeView::named(name),
            node_ips: Vec::new(),
            service_cidrs: BTreeMap::new(),
            clients: Clients::default(),
            dirty: BTreeSet::new(),
            arrivals: Arrivals::default(),
            is_complete: false,
        }
    }

    /// Plans are made by `settings`.
    #[must_use]
    pub fn with_settings(mut self, settings: &Settings) -> Self {
        self.view.masquerade = settings.masquerade;
        self.view.serves_external_ips = settings.serves_external_ips;
        self.view.external_balancing = settings.external_balancing;
        self.node_ips.clone_from(&settings.node_ips);
        self.view.ips = self.node_ips.clone();
        self
    }

    /// Takes in one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Service(name, service) => self.apply_service(name, service),
            Change::Slice(name, slice) => self.apply_slice(name, slice),
            Change::Node(node) => self.apply_node(node),
            Change::ServiceCidr(name, Some(networks)) => {
                self.service_cidrs.insert(name, networks);
            }
            Change::ServiceCidr(name, None) => {
                self.service_cidrs.remove(&name);
            }
            Change::Pod(name, pod) => self.clients.set_pod(name, pod),
            Change::Namespace(name, namespace) => self.clients.set_namespace(name, namespace),
            Change::Listed => self.is_complete = true,
        }
    }

    /// Whether everything has been listed once; before, what is missing may just not have come.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The services whose plan may have changed since the last call, sorted. Those that are gone
    /// are among them.
    pub fn take_dirty(&mut self) -> Vec<ObjectName> {
        mem::take(&mut self.dirty).into_iter().collect()
    }

    /// The changes of Services and `EndpointSlices` since the last call.
    pub fn take_arrivals(&mut self) -> Arrivals {
        mem::take(&mut self.arrivals)
    }

    /// The wanted state of the service's ports; empty if there is no such service.
    #[must_use]
    pub fn plan(&self, service: &ObjectName) -> Vec<WantedPort> {
        let Some(object) = self.service(service) else {
            return Vec::new();
        };
        let slices: Vec<_> = self.slices(service).collect();
        plan_service(object, &slices, &self.view)
    }

    /// Why the endpoints of the service's ports are used or not; None: there is no such service.
    #[must_use]
    pub fn explain(&self, service: &ObjectName) -> Option<Vec<ExplainedPort>> {
        let slices: Vec<_> = self.slices(service).collect();
        Some(explain_service(self.service(service)?, &slices, &self.view))
    }

    /// The health check that the service wants on this node.
    #[must_use]
    pub fn health_check(&self, service: &ObjectName) -> Option<HealthCheck> {
        let object = self.service(service)?;
        // Most services want none: their slices are not even looked at.
        object.health_check_node_port?;
        let slices: Vec<_> = self.slices(service).collect();
        health_check(object, &slices, &self.view)
    }

    /// The service of this name.
    #[must_use]
    pub fn service(&self, name: &ObjectName) -> Option<&Service> {
        self.groups.get(name)?.service.as_deref()
    }

    /// All services, in no particular order.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.groups
            .values()
            .filter_map(|group| group.service.as_deref())
    }

    /// The slices that count for `service`: its own, or the last known ones where the API server's
    /// service has none that are usable.
    pub fn slices(&self, service: &ObjectName) -> impl Iterator<Item = &EndpointSlice> {
        let last_known = last_known::applies_to(service).then_some(&self.last_known);
        let own = self.groups.get(service).into_iter().flat_map(Group::slices);
        own.filter(move |slice| last_known.is_none_or(|last| !last.is_in_use(slice.family)))
            .chain(last_known.into_iter().flat_map(LastKnown::slices_in_use))
    }

    /// The endpoints of all existing services, as their slices list them, in no particular order.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.groups
            .values()
            .filter(|group| group.service.is_some())
            .flat_map(Group::slices)
            .flat_map(|slice| &slice.endpoints)
    }

    /// The networks that cluster IPs are taken from, in the order of their objects' names.
    pub fn service_cidrs(&self) -> impl Iterator<Item = IpNet> {
        self.service_cidrs.values().flatten().copied()
    }

    /// Of these cgroups of pods, those that are balanced at the socket.
    #[must_use]
    pub fn socket_clients(&self, cgroups: &BTreeSet<(PodUid, u64)>) -> BTreeSet<u64> {
        self.clients.among(cgroups)
    }

    /// This node's Node, if there is one.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    /// What plans are made for.
    #[must_use]
    pub const fn node_view(&self) -> &NodeView {
        &self.view
    }

    fn apply_service(&mut self, name: ObjectName, service: Option<Box<Service>>) {
        let group = self.groups.entry(name.clone()).or_default();
        let is_changed = group.service != service;
        group.service = service;
        self.drop_if_empty(&name);
        if is_changed {
            self.watch_over(&name);
            self.arrivals.services.insert(name.clone());
            self.dirty.insert(name);
        }
    }

    fn apply_slice(&mut self, name: ObjectName, slice: Option<Box<EndpointSlice>>) {
        let old = self.remove_slice(&name);
        let is_changed = match (&old, &slice) {
            (Some(old), Some(new)) => !group::say_the_same(old, new),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
        let mut touched: Vec<_> = old.into_iter().map(|old| old.service).collect();
        let owner = slice.as_ref().map(|new| &new.service).or(touched.last());
        if let Some(owner) = owner.filter(|_| is_changed) {
            self.arrivals.note_slice(owner, slice.as_deref());
        }
        if let Some(slice) = slice {
            touched.push(slice.service.clone());
            self.insert_slice(name, slice);
        }
        if is_changed {
            touched.dedup();
            for service in touched {
                self.watch_over(&service);
                self.mark_dirty(service);
            }
        }
    }

    fn apply_node(&mut self, node: Option<Box<Node>>) {
        // Without a Node object the node keeps its name, and with it its endpoints.
        let view = NodeView {
            name: node
                .as_ref()
                .map_or_else(|| self.view.name.clone(), |node| node.name.clone()),
            zone: node.as_ref().and_then(|node| node.zone.clone()),
            ips: node_ips(&self.node_ips, node.as_deref()),
            ..self.view.clone()
        };
        self.node = node;
        if self.view != view {
            self.view = view;
            let names: Vec<_> = self
                .services()
                .map(|service| service.name.clone())
                .collect();
            self.dirty.extend(names);
        }
    }

    fn insert_slice(&mut self, name: ObjectName, slice: Box<EndpointSlice>) {
        self.owners.insert(name.clone(), slice.service.clone());
        let group = self.groups.entry(slice.service.clone()).or_default();
        group.insert(name, slice);
    }

    fn remove_slice(&mut self, name: &ObjectName) -> Option<Box<EndpointSlice>> {
        let owner = self.owners.remove(name)?;
        let slice = self.groups.get_mut(&owner)?.remove(name);
        self.drop_if_empty(&owner);
        slice
    }

    fn drop_if_empty(&mut self, service: &ObjectName) {
        if self.groups.get(service).is_some_and(Group::is_empty) {
            self.groups.remove(service);
        }
    }

    /// Slices whose service does not exist have no plan to change.
    fn mark_dirty(&mut self, service: ObjectName) {
        if self.service(&service).is_some() {
            self.dirty.insert(service);
        }
    }

    /// Lets the last known endpoints follow what has become of `service`.
    fn watch_over(&mut self, service: &ObjectName) {
        if last_known::applies_to(service) {
            let group = self
                .groups
                .get(service)
                .filter(|group| group.service.is_some());
            self.last_known.follow(group);
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}
