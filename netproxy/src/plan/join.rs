//! From the slices of a Service to the merged endpoints of one of its ports.

use std::net::IpAddr;

use crate::model::{Endpoint, EndpointSlice, Family, ServicePort};

/// An endpoint of one service port: where it listens, and what its slice says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joined<'a> {
    /// The endpoint's address.
    pub(super) address: IpAddr,
    /// The numeric port, from the slice; endpoints of one service port may differ in it.
    pub(super) port: u16,
    /// Conditions, node and hints.
    pub(super) endpoint: &'a Endpoint,
}

/// The endpoints of `port` in `family`, sorted by (address, port), each of these once.
///
/// Slices are joined by port name and protocol. Where several entries name the same address and
/// port, the later one counts, unless it is terminating: a pod's address may have passed on to a
/// new pod whose entry stands in an earlier slice. `slices` must be in the order of their names
/// for this to be the same on every node.
pub(super) fn join<'a>(
    slices: &[&'a EndpointSlice],
    port: &ServicePort,
    family: Family,
) -> Vec<Joined<'a>> {
    let ports = |slice: &&'a EndpointSlice| {
        let slice = *slice;
        slice
            .ports
            .iter()
            .filter(|candidate| candidate.protocol == port.protocol && candidate.name == port.name)
            .map(move |candidate| (slice, candidate.port))
    };
    let sources: Vec<_> = slices
        .iter()
        .filter(|slice| slice.family == family)
        .flat_map(ports)
        .collect();
    let total = sources.iter().map(|(slice, _)| slice.endpoints.len()).sum();

    let mut joined = Vec::with_capacity(total);
    for (slice, port) in sources {
        joined.extend(slice.endpoints.iter().map(|endpoint| Joined {
            address: endpoint.address,
            port,
            endpoint,
        }));
    }
    // Stable, so that entries of one address and port stay in slice order.
    joined.sort_by_key(|entry| (entry.address, entry.port));
    joined.dedup_by(|later, kept| {
        let is_same = (later.address, later.port) == (kept.address, kept.port);
        if is_same && !later.endpoint.terminating {
            *kept = *later;
        }
        is_same
    });
    joined
}
