//! Source ports of translated sources. Inserting the reply half is the reservation.
//!
//! Per destination, ports are walked in a cycle that visits every one of them, so that the one taken longest
//! ago comes first. Where a stretch of the cycle is taken by connections that last, ports are tried
//! anywhere; then the cycle goes on from the one found. Before a client is refused, the flow that has
//! been silent for longest of those that nobody would miss is given up: one whose client has never answered,
//! or one that is closed. So a flood uses up no ports, and costs no more than a walk per packet.

use aya_ebpf::bindings::{__sk_buff, BPF_ANY};
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_loop};
use core::ffi::c_void;
use netproxy_common::{Be16, Counter, Flow, FlowKey, FlowKind, FrontendKey, Ports};

use crate::config;
use crate::family::Family;
use crate::flow::{self, OpenError, Opened};
use crate::host_socket;
use crate::separate::separate;

/// How many ports one packet may try.
const MOST_TRIES: u32 = 512;
/// How many of them in the order of the cycle.
const WALK: u32 = 32;
/// How many flows may be asked to make way.
const MOST_SPARES: u32 = 3;
/// Longer than any flow goes on.
const KEPT: u32 = u32::MAX;

struct Search<'a, F: Family> {
    key: &'a FlowKey<F::Address>,
    flow: &'a mut Flow<F::Address>,
    skb: *mut __sk_buff,
    /// Where in the cycle it began.
    start: u32,
    /// Where it is.
    position: u32,
    outcome: Opened,
    /// Where the flow is that would be missed least, and how long it would go on; `KEPT`: none was met.
    spare: u32,
    spare_s: u32,
}

/// Opens `flow` under `key` with a source port of its own, which is left in `flow`.
///
/// # Errors
/// [`Counter::PortsExhausted`] where no port is free, nor can be made so.
#[inline(always)]
pub(crate) fn open_with_port<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &mut Flow<F::Address>,
    skb: *mut __sk_buff,
) -> Result<(), Counter> {
    match Opened::from_bits(search::<F>(skb, key, flow)).result() {
        Ok(()) => Ok(()),
        Err(OpenError::Taken) => Err(Counter::PortsExhausted),
        // The client's next packet finds the flow that another CPU has just opened.
        Err(OpenError::Exists) => Err(Counter::TupleCollision),
        Err(OpenError::Full) => Err(Counter::PendingFull),
    }
}

separate! {
    /// As `open_with_port`; the bits of an `Opened`.
    fn search[skb](ref key: FlowKey, mut flow: Flow) = find as find_port_v4, find_port_v6;
}

#[inline(always)]
fn find<F: Family>(
    skb: *mut __sk_buff,
    key: &FlowKey<F::Address>,
    flow: &mut Flow<F::Address>,
) -> u32 {
    let destination = FrontendKey {
        address: flow.destination,
        port: flow.destination_port,
        protocol: key.protocol,
        pad: 0,
    };
    let count = config::port_count().max(1);
    let ports = F::ports().get_ptr_mut(&destination);
    let start = match ports {
        // SAFETY: a live, aligned word. Two CPUs may read the same position: one of them finds
        // the port taken and goes on.
        Some(ports) => unsafe { (&raw const (*ports).position).read_volatile() },
        None => random() % count,
    };
    let mut search = Search::<F> {
        key,
        flow,
        skb,
        start,
        position: start,
        outcome: Opened::TAKEN,
        spare: 0,
        spare_s: KEPT,
    };
    let callback: unsafe extern "C" fn(u64, *mut c_void) -> i64 = try_port::<F>;
    // SAFETY: the callback's signature is what bpf_loop asks for; the context outlives the loop.
    unsafe {
        bpf_loop(
            MOST_TRIES,
            callback as *mut c_void,
            (&raw mut search).cast(),
            0,
        )
    };
    if search.outcome.is_taken() && search.spare_s != KEPT {
        // Another CPU may be about to take the same; what comes next in the cycle is nearly as old.
        for next in 0..MOST_SPARES {
            search.position = (search.spare + next) % count;
            search.flow.source_port = Be16::new(config::port_at(search.position));
            flow::make_way::<F>(search.key, search.flow);
            search.outcome = flow::try_open::<F>(search.key, search.flow);
            if !search.outcome.is_taken() {
                break;
            }
        }
    }
    let outcome = search.outcome;
    let next = (search.position + 1) % count;
    let exhausted = u32::from(outcome.is_taken());
    match ports {
        // SAFETY: as above.
        Some(ports) => unsafe {
            (&raw mut (*ports).position).write_volatile(next);
            let before = (&raw const (*ports).exhausted).read_volatile();
            (&raw mut (*ports).exhausted).write_volatile(before + exhausted);
        },
        None => {
            let ports = Ports {
                position: next,
                exhausted,
            };
            let _ = F::ports().insert(&destination, &ports, u64::from(BPF_ANY));
        }
    }
    outcome.bits()
}

/// One step of the search: 1 ends it.
unsafe extern "C" fn try_port<F: Family>(step: u64, context: *mut c_void) -> i64 {
    // SAFETY: bpf_loop passes what `open_with_port` gave it.
    let search = unsafe { &mut *context.cast::<Search<'_, F>>() };
    let step = step as u32;
    let count = config::port_count().max(1);
    if step == WALK && search.spare_s != KEPT {
        return 1;
    }
    search.position = if step < WALK {
        search.start + step
    } else {
        random()
    } % count;
    search.flow.source_port = Be16::new(config::port_at(search.position));
    search.outcome = flow::try_open::<F>(search.key, search.flow);
    if !search.outcome.is_taken() {
        if is_free::<F>(search) {
            return 1;
        }
        flow::forget::<F>(search.key, search.flow);
        search.outcome = Opened::TAKEN;
    }
    // Zero, which is for those who are kept, becomes the most.
    let spare_s = search.outcome.spare_s().wrapping_sub(1);
    if spare_s < search.spare_s {
        search.spare = search.position;
        search.spare_s = spare_s;
    }
    0
}

/// Whether no socket of the node would take the answers for its own. The source of an edge flow is its
/// client's address, and none of the node's.
#[inline(always)]
fn is_free<F: Family>(search: &Search<'_, F>) -> bool {
    if search.outcome.result().is_err() || search.flow.kind == FlowKind::Edge as u8 {
        return true;
    }
    let Some(answer) = flow::key_of_answer::<F>() else {
        return true;
    };
    !host_socket::takes::<F>(search.skb, answer)
}

#[inline(always)]
fn random() -> u32 {
    // SAFETY: no arguments.
    unsafe { bpf_get_prandom_u32() }
}
