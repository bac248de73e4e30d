//! The first packet of a flow: which endpoint, which kind of flow, and its two halves.

use netproxy_common::address::Address as _;
use netproxy_common::flow::FlowFlags;
use netproxy_common::protocol::{SCTP, UDP};
use netproxy_common::{AddressFlags, Counter, Flow, FlowKind, FlowState, Frontend};

use super::{Verdict, translate};
use crate::clock::now_s;
use crate::count::count;
use crate::family::Family;
use crate::flow::{self, OpenError};
use crate::maps::Opening;
use crate::packet::{Headers, Packet as _, Parse, Piece, Skb};
use crate::service::{self, Client};
use crate::{affinity, device, drops, handover, nat, networks, pause, ports, route};

/// How many endpoints are tried when the tuple in which they would answer is taken.
const MOST_ENDPOINTS: usize = 2;

/// A client's packet that belongs to no flow, entering the node.
#[inline(never)]
pub(super) fn at_ingress<F: Parse, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    address: AddressFlags,
) -> Verdict {
    match frontend(headers, address) {
        Ok(frontend) => {
            let outcome = edge_or_whole(packet, headers, &frontend);
            drops::of_service(frontend.service, outcome.into()).of_known_flow()
        }
        Err(verdict) => verdict,
    }
}

/// A packet of a process of this node to a frontend, leaving the node.
#[inline(never)]
pub(super) fn for_host<F: Parse, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    address: AddressFlags,
) -> Verdict {
    match frontend(headers, address) {
        Ok(frontend) => {
            let outcome = host(packet, headers, &frontend);
            drops::of_service(frontend.service, outcome.into()).of_known_flow()
        }
        Err(verdict) => verdict,
    }
}

/// What becomes of a packet to an address that no service has at this moment: where cluster IPs are
/// taken from its network it would go astray. A segment of a connection may yet be on its way
/// through somebody else's rules.
#[inline(always)]
pub(super) fn nowhere<F: Family>(headers: &Headers<F>) -> Verdict {
    if networks::is_service::<F>(&headers.key.destination) {
        at_unused_address(headers)
    } else {
        Verdict::PASS
    }
}

/// The same, of an address in such a network.
#[inline(always)]
pub(super) fn at_unused_address<F: Family>(headers: &Headers<F>) -> Verdict {
    if headers.opens() {
        Verdict::drop(Counter::UnusedAddress)
    } else {
        Verdict::PASS
    }
}

#[inline(always)]
fn edge_or_whole<F: Parse, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    frontend: &Frontend,
) -> Result<Verdict, Counter> {
    let opening = opening::<F>()?;
    begin(&mut opening.flow, headers, frontend, packet.ifindex());
    let client = &headers.key.source;
    let is_client_local = device::is_client_local::<F, _>(packet, client);
    let asking = Client {
        is_local: device::is_local_pod::<F, _>(packet, client, is_client_local),
        is_host: false,
    };
    service::snapshot(frontend, asking, &mut opening.service)?;
    opening.service.admit::<F>(client)?;
    if headers.key.protocol == UDP && handover::leaves_datagrams() {
        return leave(headers, opening);
    }
    for _ in 0..MOST_ENDPOINTS {
        choose(opening, headers)?;
        let is_hairpin = opening.endpoint.address == *client;
        let comes_back = is_client_local || service::is_endpoint_local::<F>(&opening.endpoint);
        if is_hairpin || !comes_back || opening.service.hides_client {
            return whole(packet, headers, opening);
        }
        match flow::open::<F>(&headers.key, &opening.flow) {
            Ok(()) => return translate::entering(packet, headers, stick(opening, headers)),
            Err(OpenError::Taken) => {}
            Err(refused) => return refuse(refused),
        }
    }
    // Another service's flow answers this client in the same tuple: a source port of its own
    // tells them apart, and the client's egress hook undoes it.
    ports::open_with_port::<F>(&headers.key, &mut opening.flow, packet.skb())?;
    translate::entering(packet, headers, stick(opening, headers))
}

#[inline(always)]
fn host<F: Parse, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    frontend: &Frontend,
) -> Result<Verdict, Counter> {
    let opening = opening::<F>()?;
    begin(&mut opening.flow, headers, frontend, packet.ifindex());
    let asking = Client {
        is_local: true,
        is_host: true,
    };
    service::snapshot(frontend, asking, &mut opening.service)?;
    opening.service.admit::<F>(&headers.key.source)?;
    opening.flow.kind = FlowKind::Host as u8;
    choose(opening, headers)?;
    if service::address::<F>(&opening.endpoint.address).has(AddressFlags::NODE) {
        return Err(Counter::HostToItself);
    }
    let flow = &mut opening.flow;
    let bytes = headers.bytes(packet);
    let route = route::find::<F, _>(packet, &flow.source, &flow.destination, bytes)?;
    if route.too_narrow != 0 {
        return Ok(Verdict::too_big(route.too_narrow));
    }
    let keeps_source = service::is_endpoint_local::<F>(&opening.endpoint)
        || route.source == F::Address::UNSPECIFIED
        || route.source == flow.source;
    if keeps_source {
        match flow::open::<F>(&headers.key, flow) {
            Ok(()) => {
                let flow = stick(opening, headers);
                return Ok(translate::and_redirect(packet, headers, flow));
            }
            Err(OpenError::Taken) => {}
            Err(refused) => return refuse(refused),
        }
    } else {
        flow.source = route.source;
    }
    ports::open_with_port::<F>(&headers.key, flow, packet.skb())?;
    Ok(translate::and_redirect(
        packet,
        headers,
        stick(opening, headers),
    ))
}

/// Leaves a flow of datagrams to another proxy. Its endpoint is not the one noted here, until user space
/// has asked netfilter for it.
#[inline(always)]
fn leave<F: Family>(
    headers: &Headers<F>,
    opening: &mut Opening<F::Address>,
) -> Result<Verdict, Counter> {
    choose(opening, headers)?;
    opening.flow.kind = FlowKind::Foreign as u8;
    // One that cannot be noted is opened by the datagram that comes after the take-over.
    let _ = flow::open::<F>(&headers.key, &opening.flow);
    Ok(Verdict::PASS)
}

/// Opens a whole flow to the endpoint that was chosen.
#[inline(always)]
fn whole<F: Parse, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    opening: &mut Opening<F::Address>,
) -> Result<Verdict, Counter> {
    // What goes no further opens nothing.
    if nat::is_expired::<F, _>(packet) {
        return Ok(Verdict::drop(Counter::Expired));
    }
    let flow = &mut opening.flow;
    let bytes = headers.bytes(packet);
    let route = route::find::<F, _>(packet, &headers.key.source, &flow.destination, bytes)?;
    if route.too_narrow != 0 {
        return Ok(Verdict::too_big(route.too_narrow));
    }
    if route.source == F::Address::UNSPECIFIED {
        return Err(Counter::NoRoute);
    }
    flow.kind = FlowKind::Whole as u8;
    flow.source = route.source;
    ports::open_with_port::<F>(&headers.key, flow, packet.skb())?;
    Ok(translate::and_redirect(
        packet,
        headers,
        stick(opening, headers),
    ))
}

/// The frontend that the packet asks for, or what becomes of a packet that asks for none.
#[inline(always)]
fn frontend<F: Family>(headers: &Headers<F>, address: AddressFlags) -> Result<Frontend, Verdict> {
    let Some(frontend) = service::frontend::<F>(&headers.key, address) else {
        return Err(unserved(headers, address));
    };
    if headers.opens() {
        if pause::is_on() {
            return Err(Verdict::drop(Counter::HandingOn));
        }
        // What goes no further opens nothing, and this cannot go on with other ports.
        if headers.key.protocol == SCTP && headers.piece.is_fragment() {
            return Err(Verdict::drop(Counter::SctpFragment));
        }
        return Ok(frontend);
    }
    if headers.acknowledges() && handover::resets_unknown() {
        return Err(Verdict::drop(Counter::ConnectionReset));
    }
    count(Counter::UnknownConnection);
    Err(Verdict::PASS)
}

/// What becomes of a packet to a port at which no service answers.
#[inline(always)]
pub(super) fn unserved<F: Family>(headers: &Headers<F>, address: AddressFlags) -> Verdict {
    if address.has(AddressFlags::LINGERING) {
        nowhere(headers)
    } else if address.has(AddressFlags::CLUSTER_IP) && headers.opens() {
        Verdict::drop(Counter::UnusedPort)
    } else {
        Verdict::PASS
    }
}

/// What becomes of a fragment without a transport header that belongs to no flow, as far as is known.
#[inline(always)]
pub(super) fn orphan<F: Family>(headers: &Headers<F>, address: AddressFlags) -> Verdict {
    if address.has(AddressFlags::LINGERING) {
        return nowhere(headers);
    }
    if !headers.has_ports {
        return Verdict::PASS;
    }
    if !address.has(AddressFlags::CLUSTER_IP | AddressFlags::VIP) {
        count(Counter::FragmentUnknown);
        return Verdict::PASS;
    }
    Verdict::drop(if headers.piece == Piece::Split {
        Counter::SplitHeader
    } else {
        Counter::FragmentBeforeFirst
    })
}

/// This CPU's room.
#[inline(always)]
fn opening<F: Family>() -> Result<&'static mut Opening<F::Address>, Counter> {
    let opening = F::openings().get_ptr_mut(0).ok_or(Counter::Inconsistent)?;
    // SAFETY: programs at tc hooks do not nest, and each asks for it once.
    Ok(unsafe { &mut *opening })
}

/// Writes down the forward half of a flow that keeps everything but an endpoint yet to be chosen.
#[inline(always)]
fn begin<F: Family>(
    flow: &mut Flow<F::Address>,
    headers: &Headers<F>,
    frontend: &Frontend,
    ifindex: u32,
) {
    *flow = Flow {
        source: headers.key.source,
        destination: F::Address::UNSPECIFIED,
        source_port: headers.key.source_port,
        destination_port: headers.key.destination_port,
        kind: FlowKind::Edge as u8,
        flags: FlowFlags::SEEN,
        state: FlowState::Opening as u8,
        pad: [0; _],
        service: frontend.service,
        generation: 0,
        deadline_s: now_s() + FlowState::Opening.lifetime_s(headers.key.protocol),
        client_ifindex: ifindex,
    };
}

/// Makes an endpoint the flow's destination.
#[inline(always)]
fn choose<F: Family>(
    opening: &mut Opening<F::Address>,
    headers: &Headers<F>,
) -> Result<(), Counter> {
    opening.service.choose::<F>(
        &headers.key.source,
        Some(&headers.key),
        &mut opening.endpoint,
    )?;
    opening.flow.destination = opening.endpoint.address;
    opening.flow.destination_port = opening.endpoint.port;
    opening.flow.generation = opening.service.generation;
    Ok(())
}

/// The flow, which is open: from now on the client sticks to its endpoint, where it is to.
#[inline(always)]
fn stick<'a, F: Family>(
    opening: &'a Opening<F::Address>,
    headers: &Headers<F>,
) -> &'a Flow<F::Address> {
    if opening.service.affinity_s != 0 {
        affinity::remember::<F>(&opening.service, &headers.key.source, &opening.endpoint);
    }
    &opening.flow
}

#[inline(always)]
fn refuse(refused: OpenError) -> Result<Verdict, Counter> {
    Err(match refused {
        OpenError::Full => Counter::PendingFull,
        // The client's next packet finds the flow that another CPU has just opened.
        OpenError::Exists | OpenError::Taken => Counter::TupleCollision,
    })
}
