//! EndpointSlices, reduced to what a proxy needs.

use std::net::IpAddr;

use super::{Family, Label, ObjectName, Protocol};

/// An EndpointSlice of an IP family, with the service it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Its own name.
    pub name: ObjectName,
    /// From the label `kubernetes.io/service-name`.
    pub service: ObjectName,
    /// `addressType`.
    pub family: Family,
    /// Ports with a name and a number.
    pub ports: Vec<SlicePort>,
    /// Endpoints with at least one address.
    pub endpoints: Vec<Endpoint>,
    /// `endpoints.kubernetes.io/last-change-trigger-time`, in nanoseconds since the Unix epoch.
    pub triggered_unix_ns: Option<i64>,
}

/// A port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// Joined with the service port's name; empty is a valid name.
    pub name: Label,
    /// Joined with the service port's protocol.
    pub protocol: Protocol,
    /// The numeric target port, never zero.
    pub port: u16,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `addresses[0]`, of the slice's family.
    pub address: IpAddr,
    /// `nodeName`.
    pub node: Option<Label>,
    /// `conditions.ready`, true when absent.
    pub ready: bool,
    /// `conditions.serving`, true when absent.
    pub serving: bool,
    /// `conditions.terminating`, false when absent.
    pub terminating: bool,
    /// `hints`; boxed because most endpoints have none.
    pub hints: Option<Box<Hints>>,
}

/// `hints.forNodes` and `hints.forZones` (KEP-2433, KEP-3015, KEP-4444).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Nodes that should use the endpoint.
    pub nodes: Vec<Label>,
    /// Zones that should use the endpoint.
    pub zones: Vec<Label>,
}
