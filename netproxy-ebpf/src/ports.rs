//! Source ports of translated sources: a full cycle over the range, per destination, so that the
//! port unused for longest comes first. Inserting the reply half is the reservation.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_loop};
use core::ffi::c_void;
use netproxy_common::{Be16, Counter, Flow, FlowKey, FrontendKey};

use crate::config;
use crate::family::Family;
use crate::flow::{self, OpenError};

/// How many ports one packet may try.
const MOST_TRIES: u32 = 512;

struct Search<'a, F: Family> {
    key: &'a FlowKey<F::Address>,
    flow: &'a mut Flow<F::Address>,
    start: u32,
    outcome: Result<(), OpenError>,
}

/// Opens `flow` under `key` with the next free source port, which is left in `flow`.
///
/// # Errors
/// [`OpenError::Taken`] with the counter [`Counter::PortsExhausted`] where no port is free.
#[inline(never)]
pub(crate) fn open_with_port<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &mut Flow<F::Address>,
) -> Result<(), Counter> {
    let destination = FrontendKey {
        address: flow.destination,
        port: flow.destination_port,
        protocol: key.protocol,
        pad: 0,
    };
    let cursor = F::port_cursors().get_ptr_mut(&destination);
    let start = match cursor {
        // SAFETY: a live, aligned word. Two CPUs may read the same position: one of them finds
        // the port taken and goes on.
        Some(cursor) => unsafe { cursor.read_volatile() },
        // SAFETY: no arguments.
        None => (unsafe { bpf_get_prandom_u32() }) % config::port_count().max(1),
    };
    let mut search = Search::<F> {
        key,
        flow,
        start,
        outcome: Err(OpenError::Taken),
    };
    let callback: unsafe extern "C" fn(u64, *mut c_void) -> i64 = try_port::<F>;
    // SAFETY: the callback's signature is what bpf_loop asks for; the context outlives the loop.
    let tries = unsafe {
        bpf_loop(
            MOST_TRIES,
            callback as *mut c_void,
            (&raw mut search).cast(),
            0,
        )
    };
    let outcome = search.outcome;
    let next = (start + tries as u32) % config::port_count().max(1);
    match cursor {
        // SAFETY: as above.
        Some(cursor) => unsafe { cursor.write_volatile(next) },
        None => drop(F::port_cursors().insert(&destination, next, u64::from(BPF_ANY))),
    }
    match outcome {
        Ok(()) => Ok(()),
        Err(OpenError::Taken) => Err(Counter::PortsExhausted),
        // The client's next packet finds the flow that another CPU has just opened.
        Err(OpenError::Exists) => Err(Counter::TupleCollision),
        Err(OpenError::Full) => Err(Counter::PendingFull),
    }
}

/// One step of the search: 1 ends it.
unsafe extern "C" fn try_port<F: Family>(step: u64, context: *mut c_void) -> i64 {
    // SAFETY: bpf_loop passes what `open_with_port` gave it.
    let search = unsafe { &mut *context.cast::<Search<'_, F>>() };
    search.flow.source_port = Be16::new(config::port_at(search.start + step as u32));
    search.outcome = flow::open::<F>(search.key, search.flow);
    i64::from(search.outcome != Err(OpenError::Taken))
}
