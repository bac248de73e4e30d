//! What may become of the first packet of a flow.

use std::net::{IpAddr, SocketAddr};

use netproxy_common::FlowKind;

use super::bytes::{frame_stays, takes_hops};
use super::{Case, NEXT, REDIRECT, opens};
use crate::fuzz::model::{Model, Place, Service};
use crate::fuzz::reading::{Reading, Tuple};

/// Judges a packet of no known flow, of `key`, that became one of `to`; yields the kind of the new flow.
pub(super) fn judge(
    model: &Model,
    case: &Case<'_>,
    packet: &Reading,
    key: Tuple,
    to: Tuple,
    code: i32,
    output: &[u8],
) -> Result<FlowKind, String> {
    let (service, place) = model
        .frontend(key.destination, key.protocol)
        .ok_or("what asks no service was translated")?;
    if !opens(key, packet.flags(case.input)) {
        return Err("a segment that opens nothing was translated".to_owned());
    }
    let client = key.source.ip();
    if !is_one_host(client) {
        return Err(format!("{client}, which is no host's, opened a flow"));
    }
    if service.has_source_ranges && place == Place::Vip && !Model::is_admitted(client) {
        return Err(format!("{client} is not admitted"));
    }
    let is_local = case.gate.is_of_pod(client);
    let is_here = endpoint(
        service,
        place,
        is_local || !case.gate.is_ingress,
        to.destination,
    )?;
    let kind = match (case.gate.is_ingress, code) {
        (true, NEXT) => FlowKind::Edge,
        (true, REDIRECT) => FlowKind::Whole,
        (false, REDIRECT) => FlowKind::Host,
        _ => return Err(format!("the program returned {code} for a first packet")),
    };
    frame_stays(case, false, output)?;
    takes_hops(case, u8::from(kind == FlowKind::Whole), output)?;
    match kind {
        FlowKind::Edge => {
            if !is_local && !is_here {
                return Err("neither client nor endpoint is here: answers never come".to_owned());
            }
            if service.hides_clients && !(place != Place::ClusterIp && service.is_local_only) {
                return Err("the client is not hidden".to_owned());
            }
            if to.source.ip() != client {
                return Err("the client became another".to_owned());
            }
            keeps_port_unless_taken(model, key, to)
        }
        FlowKind::Whole => {
            has_port_of_ours(to.source)?;
            if model.is_of_node(to.source.ip()) {
                Ok(())
            } else {
                Err(format!("{} is not this node's", to.source.ip()))
            }
        }
        FlowKind::Host => {
            if !case.is_from_host() || !model.is_of_node(client) {
                return Err("no process of this node sent it".to_owned());
            }
            if model.is_of_node(key.destination.ip()) {
                return Err("what is the node's own left it".to_owned());
            }
            if !model.is_of_node(to.source.ip()) {
                return Err(format!("{} is not this node's", to.source.ip()));
            }
            keeps_port_unless_taken(model, key, to)
        }
        FlowKind::Foreign => Err("it is left to another proxy".to_owned()),
    }?;
    if case.gate.is_ingress && !case.is_for_node() {
        return Err("a frame that is not this node's alone opened a flow".to_owned());
    }
    Ok(kind)
}

/// Whether `chosen` is one that such a client may be given, and whether it is on this node.
fn endpoint(
    service: &Service,
    place: Place,
    is_local: bool,
    chosen: SocketAddr,
) -> Result<bool, String> {
    let (_, is_here) = service
        .endpoints
        .iter()
        .find(|(endpoint, _)| *endpoint == chosen)
        .ok_or_else(|| format!("{chosen} is no endpoint of the service"))?;
    let is_kept_here = service.is_local_only && (place == Place::ClusterIp || !is_local);
    if is_kept_here && !is_here {
        return Err(format!(
            "{chosen} is on another node, where policy is Local"
        ));
    }
    Ok(*is_here)
}

/// A source port changes if there is need, to one of ours.
fn keeps_port_unless_taken(model: &Model, key: Tuple, to: Tuple) -> Result<(), String> {
    if to.source == key.source {
        return Ok(());
    }
    has_port_of_ours(to.source)?;
    let would_be = Tuple {
        source: key.source,
        ..to
    };
    let is_moved = to.source.ip() != key.source.ip();
    let service = model.frontend(key.destination, key.protocol);
    // Two endpoints are tried, and either may be the one that remains.
    let is_taken = service.is_some_and(|(service, _)| {
        service.endpoints.iter().any(|(endpoint, _)| {
            let would_be = Tuple {
                destination: *endpoint,
                ..would_be
            };
            model.flows.half(would_be.reversed()).is_some()
        })
    });
    if is_moved || is_taken {
        Ok(())
    } else {
        Err(format!(
            "{} became {} without need",
            key.source.port(),
            to.source.port()
        ))
    }
}

fn has_port_of_ours(source: SocketAddr) -> Result<(), String> {
    match source.port() {
        10_240..=29_999 | 61_000..=65_535 => Ok(()),
        port => Err(format!("{port} is not a port to take")),
    }
}

/// Whether an address may be a host's (RFC 1122, section 3.2.1.3; RFC 4291). Linux takes the former class E
/// for addresses like others.
pub(super) fn is_one_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !matches!(v4.octets()[0], 0 | 127 | 224..240) && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_loopback() && !v6.is_multicast(),
    }
}
