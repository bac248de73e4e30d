//! Telling who listens what happens: new flows, drops, refusals. Nobody is told of packets that merely
//! belong to a flow, so while nobody listens an event costs a look at one word, and other packets nothing.
//!
//! Nobody waits for the listener: where he has not yet read what there is room for, events are counted and lost.

use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns,
};
use netproxy_common::address::Address as _;
use netproxy_common::flow::FlowFlags;
use netproxy_common::{Be16, Counter, Event, EventHook, EventKind, Flow, FlowKey, Ipv6, Pair};

use crate::count::count;
use crate::family::{Family, V4, V6};
use crate::hooks::Verdict;
use crate::maps::{EVENTS, LISTENER};
use crate::separate::separate;

/// Tells of a packet with this tuple (as it came) of which `verdict` says what was decided, and `outcome`
/// what became of it: of one that was to be dropped, the sender may have been told instead.
#[inline(always)]
pub(crate) fn of_packet<F: Family>(
    key: &FlowKey<F::Address>,
    verdict: Verdict,
    outcome: Verdict,
    ifindex: u32,
) {
    if verdict.is_told() {
        let (verdict, outcome) = (Some(verdict), Some(outcome));
        tell::<F>(
            key,
            Verdict::to_bits(verdict),
            Verdict::to_bits(outcome),
            ifindex,
        );
    }
}

separate! {
    /// As `of_packet`.
    fn tell(ref key: FlowKey; verdict, outcome, ifindex) = tell_of_packet
        as tell_of_packet_v4, tell_of_packet_v6;
}

#[inline(always)]
fn tell_of_packet<F: Family>(
    key: &FlowKey<F::Address>,
    verdict: u32,
    outcome: u32,
    ifindex: u32,
) -> u32 {
    let (Some(verdict), Some(outcome)) = (Verdict::from_bits(verdict), Verdict::from_bits(outcome))
    else {
        return 0;
    };
    let reason = verdict.reason();
    let kind = match (reason, outcome.reason()) {
        (None, _) => EventKind::NewFlow,
        (Some(_), Some(_)) => EventKind::Drop,
        (Some(_), None) if outcome.is_pass() => return 0,
        (Some(_), None) => EventKind::Refused,
    };
    let Some(mut record) = begin(kind, EventHook::Packet) else {
        return 0;
    };
    // SAFETY: `begin` has filled it.
    let event = unsafe { record.assume_init_mut() };
    event.client = in_ipv6_form::<F>(&key.source);
    event.client_port = key.source_port;
    event.frontend = in_ipv6_form::<F>(&key.destination);
    event.frontend_port = key.destination_port;
    event.protocol = key.protocol;
    event.ifindex = ifindex;
    event.reason = reason.unwrap_or(0) as u8;
    if verdict.is_of_known_flow()
        && let Some(opening) = F::openings().get_ptr(0)
    {
        // SAFETY: this CPU's room, as its programs at tc hooks do not nest; who marked the verdict has filled it.
        describe::<F>(event, key, unsafe { &(*opening).flow });
    }
    record.submit(0);
    1
}

/// Adds what is known of the flow of which `flow` is the half that packets with this tuple match.
#[inline(always)]
fn describe<F: Family>(event: &mut Event, key: &FlowKey<F::Address>, flow: &Flow<F::Address>) {
    event.service = flow.service;
    event.flow_kind = flow.kind;
    let (source, destination) = (
        in_ipv6_form::<F>(&flow.source),
        in_ipv6_form::<F>(&flow.destination),
    );
    if flow.has(FlowFlags::REPLY) {
        event.endpoint = event.client;
        event.endpoint_port = key.source_port;
        event.source = event.frontend;
        event.source_port = key.destination_port;
        event.client = destination;
        event.client_port = flow.destination_port;
        event.frontend = source;
        event.frontend_port = flow.source_port;
    } else if flow.destination != F::Address::UNSPECIFIED {
        event.endpoint = destination;
        event.endpoint_port = flow.destination_port;
        event.source = source;
        event.source_port = flow.source_port;
    }
}

/// Tells of a socket that asked for the pair's frontend: it goes to the pair's endpoint, or is refused.
#[inline(never)]
pub(crate) fn of_socket(pair: &Pair, protocol: u8, kind: EventKind) {
    let Some(mut record) = begin(kind, EventHook::Socket) else {
        return;
    };
    // SAFETY: `begin` has filled it.
    let event = unsafe { record.assume_init_mut() };
    event.frontend = pair.frontend;
    event.frontend_port = pair.frontend_port;
    event.service = pair.service;
    event.protocol = protocol;
    if kind as u32 == EventKind::NewFlow as u32 {
        event.endpoint = pair.endpoint;
        event.endpoint_port = pair.endpoint_port;
    } else {
        event.reason = Counter::SocketRefused as u8;
    }
    event.process = (bpf_get_current_pid_tgid() >> 32) as u32;
    // Where it has none the name stays empty.
    if let Ok(command) = bpf_get_current_comm() {
        event.command = command;
    }
    record.submit(0);
}

/// Room for an event, with nothing in it but when and where it was; None: nobody wants to know, or there is none.
#[inline(always)]
fn begin(
    kind: EventKind,
    hook: EventHook,
) -> Option<aya_ebpf::maps::ring_buf::RingBufEntry<Event>> {
    let listener = LISTENER.get_ptr(0)?;
    // SAFETY: a live, aligned value; the helpers take no arguments.
    let is_wanted = unsafe {
        (&raw const (*listener).until_ns).read_volatile() > bpf_ktime_get_coarse_ns()
            && (&raw const (*listener).kinds).read_volatile() & kind.bit() != 0
    };
    if !is_wanted {
        return None;
    }
    let Some(mut record) = EVENTS.reserve(0) else {
        count(Counter::EventLost);
        return None;
    };
    record.write(Event {
        // SAFETY: no arguments.
        time_ns: unsafe { bpf_ktime_get_ns() },
        client: Ipv6::UNSPECIFIED,
        frontend: Ipv6::UNSPECIFIED,
        endpoint: Ipv6::UNSPECIFIED,
        source: Ipv6::UNSPECIFIED,
        client_port: Be16::ZERO,
        frontend_port: Be16::ZERO,
        endpoint_port: Be16::ZERO,
        source_port: Be16::ZERO,
        service: Event::NO_SERVICE,
        ifindex: 0,
        process: 0,
        kind: kind as u8,
        hook: hook as u8,
        protocol: 0,
        flow_kind: 0,
        reason: 0,
        pad: [0; 7],
        command: [0; 16],
    });
    Some(record)
}

/// The address, mapped if it is one of IPv4 (RFC 4291, section 2.5.5.2).
#[inline(always)]
fn in_ipv6_form<F: Family>(address: &F::Address) -> Ipv6 {
    let words = F::to_words(address);
    if F::AF == V4::AF {
        V6::from_words([0, 0, 0xffff_u32.to_be(), words[0]])
    } else {
        V6::from_words(words)
    }
}
