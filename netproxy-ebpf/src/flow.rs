//! The flow table: two halves per flow, two tiers.
//!
//! A half past its deadline counts as absent unless its partner is alive, so correctness never
//! waits for the agent. The reply half is inserted with NOEXIST: it is the reservation of the
//! tuple in which the endpoint answers. Either half restores the other while the flow is in the LRU,
//! unless somebody else has the other's tuple by then: two halves are partners only if each names the
//! other, and a half without a partner touches nobody else's.

pub(crate) mod edges;
mod life;
mod opening;
mod tier;
mod turnover;

use netproxy_common::flow::FlowFlags;
use netproxy_common::protocol::TCP;
use netproxy_common::{Counter, Endpoint, Flow, FlowKey, FlowKind, FlowState};

pub(crate) use self::life::note;
pub(crate) use self::opening::{OpenError, Opened, key_of_answer, make_way, open, try_open};
use self::tier::{Tier, is_pending_used, looks_used, pointer};
use crate::clock::now_s;
use crate::count::count;
use crate::family::Family;
use crate::maps::Half;
use crate::packet::Headers;
use crate::separate::separate;
use crate::service;
use crate::usable::{self, Chosen};

/// The half that a packet with ports matches, copied, unless the packet begins something new in its
/// tuple.
#[inline(always)]
pub(crate) fn of_packet<F: Family>(headers: &Headers<F>) -> Option<Flow<F::Address>> {
    let key = &headers.key;
    let mut flow = find::<F>(key)?;
    if life::is_over(&flow, key.protocol, headers.tcp_flags)
        || (flow.state != FlowState::Established as u8
            && is_pending_used::<F>()
            && is_orphan::<F>(key, &flow) != 0)
    {
        forget::<F>(key, &flow);
        return None;
    }
    // A flow of datagrams ends with the change that took its endpoint, as kube-proxy cleans
    // conntrack (pkg/proxy/conntrack/cleanup.go); connections have an end of their own. SCTP's have not
    // where a client that has lost its endpoint begins again from the same port, as it is used to.
    if key.protocol != TCP
        && headers.opens()
        && !flow.has(FlowFlags::REPLY)
        && usable::has_changed(flow.service, flow.generation)
        && !is_renewed::<F>(key, &mut flow)
    {
        forget::<F>(key, &flow);
        count(Counter::EndpointGone);
        return None;
    }
    Some(flow)
}

/// Whether the endpoint of the half under `key` still serves who asks there. Then it is not looked for
/// again before the next change.
#[inline(never)]
fn is_renewed<F: Family>(key: &FlowKey<F::Address>, flow: &mut Flow<F::Address>) -> bool {
    let mut chosen = Chosen {
        service: flow.service,
        generation: flow.generation,
        endpoint: Endpoint {
            address: flow.destination,
            port: flow.destination_port,
            flags: 0,
        },
    };
    let address = service::address::<F>(&key.destination);
    if !service::still_serves::<F>(key, address, &mut chosen) {
        return false;
    }
    flow.service = chosen.service;
    flow.generation = chosen.generation;
    if let Some(entry) = pointer::<F>(key) {
        // SAFETY: a live map value; aligned u32 stores. If the entry was recycled meanwhile, or is read
        // in between, some flow's endpoint is looked for once more, or not before the next change.
        unsafe {
            (&raw mut (*entry).service).write_volatile(chosen.service);
            (&raw mut (*entry).generation).write_volatile(chosen.generation);
        }
    }
    true
}

/// The live half under `key`, copied; None: no such flow. One past its deadline is forgotten, so
/// that it is not in the way of the next.
#[inline(always)]
fn find<F: Family>(key: &FlowKey<F::Address>) -> Option<Flow<F::Address>> {
    let flow = copy::<F>(key)?;
    if is_alive_as::<F>(key, &flow) {
        Some(flow)
    } else {
        forget::<F>(key, &flow);
        None
    }
}

/// The live half that translates what answers `packet`, copied, for what is none of its packets: the table
/// stays as it is.
#[inline(always)]
pub(crate) fn of_answer_to<F: Family>(
    packet: &FlowKey<F::Address>,
) -> Option<&'static mut Flow<F::Address>> {
    let half = F::halves().get_ptr_mut(0)?;
    // SAFETY: as in `partner`.
    let half = unsafe { &mut *half };
    half.key = packet.reversed();
    half.flow = copy::<F>(&half.key)?;
    is_alive_as::<F>(&half.key, &half.flow).then_some(&mut half.flow)
}

#[inline(always)]
fn copy<F: Family>(key: &FlowKey<F::Address>) -> Option<Flow<F::Address>> {
    // SAFETY: the entry is copied at once. A recycled slot yields another flow's translation only
    // if it was removed between lookup and copy, which the next packet corrects.
    pointer::<F>(key).map(|flow| unsafe { *flow })
}

#[inline(always)]
fn is_alive_as<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> bool {
    flow.deadline_s >= now_s() || is_alive::<F>(key) != 0
}

/// Whether it may turn out now that a bridge switches the answers of `flow`: this is one, and the
/// flow is still opening.
#[inline(always)]
pub(crate) fn may_be_switched<A: Copy>(flow: &Flow<A>) -> bool {
    flow.kind == FlowKind::Edge as u8
        && flow.state == FlowState::Opening as u8
        && flow.flags & (FlowFlags::REPLY | FlowFlags::SWITCHED) == FlowFlags::REPLY
}

/// Whether another proxy began a flow of datagrams from this source port, whatever the source address, to
/// the destination of `key`.
#[inline(always)]
pub(crate) fn is_foreign<F: Family>(key: &FlowKey<F::Address>) -> bool {
    copy::<F>(key).is_some_and(|flow| flow.deadline_s >= now_s())
}

separate! {
    /// Forgets the flow of which `flow` under `key` is a half.
    pub(crate) fn forget(ref key: FlowKey, ref flow: Flow)
        = remove as forget_flow_v4, forget_flow_v6;
    /// How long the flow of which a half is under `key` goes on without a packet, in seconds and at least
    /// one, as long as its longer half; zero: it is over.
    fn is_alive(ref key: FlowKey) = lives as is_flow_alive_v4, is_flow_alive_v6;
    /// Whether somebody else's half is where the partner of the half `flow` under `key` would be: the LRU took
    /// the partner, and another flow its tuple.
    fn is_orphan(ref key: FlowKey, ref flow: Flow) = has_lost as is_orphan_v4, is_orphan_v6;
}

#[inline(always)]
fn remove<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> u32 {
    // The partner first: `flow` may be the entry itself.
    let is_opening = flow.state == FlowState::Opening as u8;
    let mut half = on_stack(key);
    half.turn_to_partner(flow);
    if is_partner::<F>(&half, key) {
        remove_half::<F>(&half);
    }
    half = *key;
    if remove_half::<F>(&half) && is_opening {
        turnover::is_past_opening::<F>();
    }
    0
}

/// Removes the half under `key`; whether it was in `FLOWS_*`.
#[inline(always)]
fn remove_half<F: Family>(key: &FlowKey<F::Address>) -> bool {
    if looks_used(F::NUMBER) {
        Tier::Pending.remove::<F>(key);
    }
    Tier::Assured.remove::<F>(key)
}

#[inline(always)]
fn has_lost<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> u32 {
    let mut half = on_stack(key);
    half.turn_to_partner(flow);
    u32::from(pointer::<F>(&half).is_some() && !is_partner::<F>(&half, key))
}

/// Whether there is a half under `half` that belongs to the one under `key`.
#[inline(always)]
fn is_partner<F: Family>(half: &FlowKey<F::Address>, key: &FlowKey<F::Address>) -> bool {
    // SAFETY: a live map value, as in `copy`.
    pointer::<F>(half).is_some_and(|other| unsafe { (*other).is_partner_of(key) })
}

/// The key, where maps take keys from: on Linux 6.1 they take neither keys nor values from the memory
/// that a global function is given (`map_key_value_types` in kernel/bpf/verifier.c). Values go by way of
/// the room for the partner.
#[inline(always)]
fn on_stack<A: Copy>(key: &FlowKey<A>) -> FlowKey<A> {
    *key
}

/// The other half of `flow` under `key`, as it would be inserted; nothing has been seen of it.
#[inline(always)]
fn partner<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &Flow<F::Address>,
) -> Option<&'static mut Half<F::Address>> {
    let half = F::halves().get_ptr_mut(0)?;
    // SAFETY: this CPU's room; programs at tc hooks do not nest, and no caller holds it across a
    // second call.
    let half = unsafe { &mut *half };
    half.key = *key;
    half.key.turn_to_partner(flow);
    half.flow = *flow;
    half.flow.turn_to_partner(key);
    Some(half)
}

#[inline(always)]
fn lives<F: Family>(key: &FlowKey<F::Address>) -> u32 {
    let mut half = on_stack(key);
    let Some(flow) = pointer::<F>(&half) else {
        return 0;
    };
    // SAFETY: a live map value, as in `copy`.
    let mut deadline_s = unsafe {
        half.turn_to_partner(&*flow);
        (*flow).deadline_s
    };
    if let Some(partner) = pointer::<F>(&half) {
        // SAFETY: as above.
        unsafe {
            if (*partner).is_partner_of(key) {
                deadline_s = deadline_s.max((*partner).deadline_s);
            }
        }
    }
    (deadline_s + 1).saturating_sub(now_s())
}
