//! The first packet of a flow: which endpoint, which kind of flow, and its two halves.

use netproxy_common::address::Address as _;
use netproxy_common::flow::FlowFlags;
use netproxy_common::{AddressFlags, Counter, Flow, FlowKind, FlowState, Frontend};

use super::{Verdict, translate};
use crate::clock::now_s;
use crate::count::count;
use crate::device;
use crate::family::Family;
use crate::flow::{self, OpenError};
use crate::packet::{Headers, Packet as _, Skb};
use crate::ports;
use crate::route;
use crate::service::{self, Snapshot};

/// How many endpoints are tried when the tuple in which they would answer is taken.
const MOST_ENDPOINTS: usize = 2;

/// A client's packet that belongs to no flow, entering the node.
#[inline(never)]
pub(super) fn at_ingress<F: Family, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    address: AddressFlags,
) -> Verdict {
    edge_or_whole(packet, headers, address).into()
}

/// A packet of a process of this node to a frontend, leaving the node.
#[inline(never)]
pub(super) fn for_host<F: Family, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    address: AddressFlags,
) -> Verdict {
    host(packet, headers, address).into()
}

#[inline(always)]
fn edge_or_whole<F: Family, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    address: AddressFlags,
) -> Result<Verdict, Counter> {
    let Some(frontend) = frontend(headers, address) else {
        return Ok(Verdict::PASS);
    };
    let is_client_local = device::is_client_local::<F, _>(packet, &headers.key.source);
    let is_local_pod = device::is_local_pod::<F, _>(packet, &headers.key.source, is_client_local);
    let service = service::snapshot(&frontend, is_local_pod)?;
    let mut flow = blank(headers, &service, packet.ifindex());
    for _ in 0..MOST_ENDPOINTS {
        let endpoint = service.choose::<F>()?;
        flow.destination = endpoint.address;
        flow.destination_port = endpoint.port;
        let is_hairpin = endpoint.address == headers.key.source;
        if is_hairpin || !(is_client_local || service::is_endpoint_local::<F>(&endpoint)) {
            return whole(packet, headers, &mut flow);
        }
        match flow::open::<F>(&headers.key, &flow) {
            Ok(()) => return translate::in_place(packet, headers, &flow),
            Err(OpenError::Taken) => {}
            Err(refused) => return refuse(refused),
        }
    }
    // Another service's flow answers this client in the same tuple: a source port of its own
    // tells them apart, and the client's egress hook undoes it.
    ports::open_with_port::<F>(&headers.key, &mut flow)?;
    translate::in_place(packet, headers, &flow)
}

#[inline(always)]
fn host<F: Family, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    address: AddressFlags,
) -> Result<Verdict, Counter> {
    let Some(frontend) = frontend(headers, address) else {
        return Ok(Verdict::PASS);
    };
    let service = service::snapshot(&frontend, true)?;
    let endpoint = service.choose::<F>()?;
    if service::address::<F>(&endpoint.address).has(AddressFlags::NODE) {
        return Err(Counter::HostToItself);
    }
    let mut flow = blank(headers, &service, packet.ifindex());
    flow.kind = FlowKind::Host as u8;
    flow.destination = endpoint.address;
    flow.destination_port = endpoint.port;
    let route = route::find::<F, _>(packet, &flow.source, &flow.destination)?;
    let keeps_source = service::is_endpoint_local::<F>(&endpoint)
        || route.source == F::Address::UNSPECIFIED
        || route.source == flow.source;
    if keeps_source {
        match flow::open::<F>(&headers.key, &flow) {
            Ok(()) => return Ok(translate::and_redirect(packet, headers, &flow)),
            Err(OpenError::Taken) => {}
            Err(refused) => return refuse(refused),
        }
    } else {
        flow.source = route.source;
    }
    ports::open_with_port::<F>(&headers.key, &mut flow)?;
    Ok(translate::and_redirect(packet, headers, &flow))
}

/// Opens a whole flow to the endpoint that is `flow`'s destination.
#[inline(always)]
fn whole<F: Family, const L2: usize>(
    packet: Skb<L2>,
    headers: &Headers<F>,
    flow: &mut Flow<F::Address>,
) -> Result<Verdict, Counter> {
    let route = route::find::<F, _>(packet, &headers.key.source, &flow.destination)?;
    if route.source == F::Address::UNSPECIFIED {
        return Err(Counter::NoRoute);
    }
    flow.kind = FlowKind::Whole as u8;
    flow.source = route.source;
    ports::open_with_port::<F>(&headers.key, flow)?;
    Ok(translate::and_redirect(packet, headers, flow))
}

/// The frontend that the packet asks for, if it may open a flow.
#[inline(always)]
fn frontend<F: Family>(headers: &Headers<F>, address: AddressFlags) -> Option<Frontend> {
    let frontend = service::frontend::<F>(&headers.key, address)?;
    if headers.opens() {
        return Some(frontend);
    }
    count(Counter::UnknownConnection);
    None
}

/// The forward half of a flow that keeps everything but an endpoint yet to be chosen.
#[inline(always)]
fn blank<F: Family>(headers: &Headers<F>, service: &Snapshot, ifindex: u32) -> Flow<F::Address> {
    Flow {
        source: headers.key.source,
        destination: F::Address::UNSPECIFIED,
        source_port: headers.key.source_port,
        destination_port: headers.key.destination_port,
        kind: FlowKind::Edge as u8,
        flags: FlowFlags::SEEN,
        state: FlowState::Opening as u8,
        pad: 0,
        service: service.service,
        generation: service.generation,
        deadline_s: now_s() + FlowState::Opening.lifetime_s(headers.key.protocol),
        client_ifindex: ifindex,
    }
}

#[inline(always)]
fn refuse(refused: OpenError) -> Result<Verdict, Counter> {
    Err(match refused {
        OpenError::Full => Counter::PendingFull,
        // The client's next packet finds the flow that another CPU has just opened.
        OpenError::Exists | OpenError::Taken => Counter::TupleCollision,
    })
}
