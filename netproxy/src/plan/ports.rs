//! From a Service and its slices to the wanted state of its ports.

use super::{NodeView, WantedPort};
use crate::model::{EndpointSlice, Service};

/// The wanted state of every port of `service`, in both families it has a cluster IP of.
pub fn plan_service(
    _service: &Service,
    _slices: &[&EndpointSlice],
    _node: &NodeView,
) -> Vec<WantedPort> {
    Vec::new()
}
