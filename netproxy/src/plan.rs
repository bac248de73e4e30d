//! The wanted state of the datapath: kube-proxy's semantics, and nothing else.
//!
//! Pure: objects and this node's view go in, plain values come out. No I/O, no clock, no maps.
//! `ports` walks a Service; for each of its ports `join` finds the endpoints, `topology` reads
//! their hints, and `segments` sorts them so that every set a client may use is one window.
//! `node_ports` chooses the addresses that NodePorts answer on; `health` counts for load balancers.
//! `maglev` makes the table by which every node chooses the same endpoint for a flow.
//! `socket_clients` says which pods are balanced at the socket. `explain` tells why an endpoint is used or not.

mod explain;
mod health;
mod join;
mod maglev;
mod node_ports;
mod ports;
mod segments;
mod socket_clients;
mod topology;
mod wanted;

#[cfg(test)]
mod tests;

pub use explain::{ExplainedEndpoint, ExplainedPort, Preferred, Reason, explain_service};
pub use health::{HealthCheck, health_check};
pub use maglev::lookup_table;
pub use node_ports::{node_ips, node_port_addresses};
pub use ports::plan_service;
pub use socket_clients::socket_clients;
pub use wanted::{NodeView, PortKey, WantedEndpoint, WantedFrontend, WantedPort, WantedRange};
