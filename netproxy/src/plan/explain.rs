//! Why an endpoint is used or not: the plan of a service port, told endpoint by endpoint.
//!
//! It asks the very functions that make the plan, and gives a reason for what came out. Entries that
//! the plan leaves out altogether, because nothing may use them, are told of as well.

use std::net::{IpAddr, SocketAddr};

use netproxy_common::Window;
use rustc_hash::FxHashMap;

use super::join::join;
use super::ports::{in_every_family, plan_port};
use super::topology::Preference;
use super::{NodeView, PortKey, WantedPort};
use crate::model::{Endpoint, EndpointSlice, Label, Service, TrafficPolicy};

/// A service port, and why each of its endpoints is used or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedPort {
    /// What is wanted of the datapath.
    pub wanted: WantedPort,
    /// Whose endpoints the hints prefer.
    pub preferred: Option<Preferred>,
    /// Every endpoint of the port's slices, by address and port.
    pub endpoints: Vec<ExplainedEndpoint>,
}

/// Whose endpoints are preferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preferred {
    /// Those hinted for this node.
    Node(Label),
    /// Those hinted for this zone.
    Zone(Label),
}

/// An endpoint, and what every kind of client has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedEndpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its numeric port, in host byte order.
    pub port: u16,
    /// `nodeName`.
    pub node: Option<Label>,
    /// Whether that is this node.
    pub is_local: bool,
    /// For clients of cluster IPs.
    pub internal: Reason,
    /// For those of external destinations, where there are any: cluster-wide.
    pub external: Option<Reason>,
    /// For those that external policy Local confines to this node, where it holds.
    pub external_local: Option<Reason>,
}

/// Why new connections of a client are sent to an endpoint, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// They are: it is ready, and nothing keeps it from them.
    Ready,
    /// They are: it is terminating, but serves, and nothing is ready (KEP-1669).
    LastResort,
    /// It is not ready, nor does it serve.
    NotReady,
    /// It is terminating, and no longer serves.
    Stopped,
    /// It is terminating, and others are ready.
    Terminating,
    /// It serves without being ready: connections that it has go on.
    Kept,
    /// It is on another node, and the policy is Local.
    Elsewhere,
    /// The hints prefer others.
    NotHinted,
}

impl Reason {
    /// Whether new connections are sent there.
    #[must_use]
    pub const fn is_used(self) -> bool {
        matches!(self, Self::Ready | Self::LastResort)
    }
}

/// Why the endpoints of every port of `service` are used or not, in both families it has a cluster IP
/// of; `slices` as for `plan_service`.
#[must_use]
pub fn explain_service(
    service: &Service,
    slices: &[&EndpointSlice],
    node: &NodeView,
) -> Vec<ExplainedPort> {
    in_every_family(service, slices, |port, family, slices| {
        let wanted = plan_port(service, port, family, slices, node);
        let joined = join(slices, port, family);
        let preferred = match Preference::of(&joined, node) {
            Preference::Anywhere => None,
            Preference::Node(name) => Some(Preferred::Node(name.clone())),
            Preference::Zone(zone) => Some(Preferred::Zone(zone.clone())),
        };
        let places = places(&wanted);
        let endpoints = joined
            .iter()
            .map(|entry| {
                let is_local = node.hosts(entry.endpoint);
                let place = places.get(&(entry.address, entry.port)).copied();
                let reason = |policy, window| {
                    reason(entry.endpoint, is_local, policy, is_inside(place, window))
                };
                let range = &wanted.range;
                let cluster = TrafficPolicy::Cluster;
                let is_external = wanted.is_external();
                ExplainedEndpoint {
                    address: entry.address,
                    port: entry.port,
                    node: entry.endpoint.node.clone(),
                    is_local,
                    internal: reason(service.internal_policy, range.internal),
                    external: is_external.then(|| reason(cluster, range.external_cluster)),
                    external_local: range
                        .is_external_local
                        .then(|| reason(TrafficPolicy::Local, range.external_local)),
                }
            })
            .collect();
        ExplainedPort {
            wanted,
            preferred,
            endpoints,
        }
    })
}

impl ExplainedPort {
    /// Which service port.
    #[must_use]
    pub const fn key(&self) -> &PortKey {
        &self.wanted.key
    }
}

impl ExplainedEndpoint {
    /// Where it listens.
    #[must_use]
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// The place of each endpoint in the range.
fn places(wanted: &WantedPort) -> FxHashMap<(IpAddr, u16), u32> {
    let endpoints = wanted.range.endpoints.iter();
    (0..)
        .zip(endpoints)
        .map(|(place, endpoint)| ((endpoint.address, endpoint.port), place))
        .collect()
}

fn is_inside(place: Option<u32>, window: Window) -> bool {
    place.is_some_and(|place| (window.offset..window.offset + window.count).contains(&place))
}

fn reason(endpoint: &Endpoint, is_local: bool, policy: TrafficPolicy, is_used: bool) -> Reason {
    match (endpoint.ready, endpoint.serving, endpoint.terminating) {
        (true, _, _) if is_used => Reason::Ready,
        (false, _, _) if is_used => Reason::LastResort,
        (false, false, false) => Reason::NotReady,
        (false, false, true) => Reason::Stopped,
        (false, true, false) => Reason::Kept,
        _ if policy == TrafficPolicy::Local && !is_local => Reason::Elsewhere,
        (true, _, _) => Reason::NotHinted,
        (false, true, true) => Reason::Terminating,
    }
}
