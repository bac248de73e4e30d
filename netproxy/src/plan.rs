//! The wanted state of the datapath: kube-proxy's semantics, and nothing else.
//!
//! Pure: objects and this node's view go in, plain values come out. No I/O, no clock, no maps.

mod ports;
mod segments;
mod wanted;

pub use ports::plan_service;
pub use wanted::{NodeView, PortKey, WantedEndpoint, WantedFrontend, WantedPort, WantedRange};
