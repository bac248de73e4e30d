//! One endpoint of a window: at random, or the one that every node has for a flow, by a table that user space has made.

use aya_ebpf::helpers::bpf_get_prandom_u32;
use netproxy_common::maglev::{ROOM, slot_of_client, slot_of_flow};
use netproxy_common::{Endpoint, FlowKey};

use crate::family::Family;
use crate::maps::MAGLEV;
use crate::separate::separate;

/// Beside the number of a table (`Range::table`): all flows of a client have one endpoint.
pub(crate) const BY_CLIENT: u32 = 1 << 31;

/// Fills in one of the `count` endpoints behind `first`: the one that the table of this number has for the flow, or
/// any without a table. False: there is none, and user space has published what it has not filled.
#[inline(always)]
pub(crate) fn for_flow<F: Family>(
    flow: &FlowKey<F::Address>,
    endpoint: &mut Endpoint<F::Address>,
    table: u32,
    (first, count): (u32, u32),
) -> bool {
    choose::<F>(flow, endpoint, table, first, count) != 0
}

/// As `for_flow`, where there is no flow yet: any.
#[inline(always)]
pub(crate) fn at_random<F: Family>(
    endpoint: &mut Endpoint<F::Address>,
    (first, count): (u32, u32),
) -> bool {
    read::<F>(endpoint, first.wrapping_add(random_below(count))) != 0
}

separate! {
    /// As `for_flow`; zero: there is none.
    fn choose(ref flow: FlowKey, mut endpoint: Endpoint; table, first, count)
        = choose_here as choose_endpoint_v4, choose_endpoint_v6;
}

#[inline(always)]
fn choose_here<F: Family>(
    flow: &FlowKey<F::Address>,
    endpoint: &mut Endpoint<F::Address>,
    table: u32,
    first: u32,
    count: u32,
) -> u32 {
    let mut place = u32::MAX;
    if table != 0 {
        place = place_of::<F>(flow, table);
    }
    if place >= count {
        place = random_below(count);
    }
    read::<F>(endpoint, first.wrapping_add(place))
}

/// The flow's endpoint by the table, counted from the first one of its window.
#[inline(always)]
fn place_of<F: Family>(flow: &FlowKey<F::Address>, table: u32) -> u32 {
    let client = F::to_words(&flow.source);
    let slot = if table & BY_CLIENT != 0 {
        slot_of_client(client)
    } else {
        slot_of_flow(client, flow.source_port, flow.protocol)
    };
    match MAGLEV.get_ptr((table & !BY_CLIENT).wrapping_sub(1)) {
        // SAFETY: a live value that user space does not reuse before a grace period has passed.
        Some(table) => u32::from(unsafe { &*table }.slots[slot as usize & (ROOM - 1)]),
        None => u32::MAX,
    }
}

/// Any number below `count`, uniformly.
#[inline(always)]
fn random_below(count: u32) -> u32 {
    // SAFETY: no arguments.
    let random = u64::from(unsafe { bpf_get_prandom_u32() });
    // Scaling instead of a remainder: no division, and no bias towards low numbers.
    ((random * u64::from(count)) >> 32) as u32
}

#[inline(always)]
fn read<F: Family>(endpoint: &mut Endpoint<F::Address>, slot: u32) -> u32 {
    let Some(chosen) = F::endpoints().get_ptr(slot) else {
        return 0;
    };
    // SAFETY: a live value that user space does not reuse before a grace period.
    *endpoint = unsafe { chosen.read() };
    1
}
