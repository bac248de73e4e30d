//! The life of a flow: opening, established, closing; which tier its halves are in follows from it.

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use netproxy_common::flow::FlowFlags;
use netproxy_common::protocol::has_connections;
use netproxy_common::{Counter, Flow, FlowKey, FlowState};

use super::{is_orphan, on_stack, partner, pointer};
use crate::clock::now_s;
use crate::count::count;
use crate::family::Family;
use crate::maps::Half;
use crate::packet::{ACK, FIN, RST, SYN};
use crate::separate::separate;

/// Takes note of a packet that matched `flow` (a copy) under `key`: keeps it alive, and moves it
/// through opening, established and closing.
#[inline(always)]
pub(crate) fn note<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &mut Flow<F::Address>,
    tcp_flags: u8,
) {
    if flow.state == FlowState::Established as u8 {
        let deadline_s = now_s() + FlowState::Established.lifetime_s(key.protocol);
        // Who has sent FIN may still reset.
        if tcp_flags & RST != 0 || (tcp_flags & FIN != 0 && !flow.has(FlowFlags::CLOSED)) {
            note_close::<F>(key, flow, u32::from(tcp_flags));
        } else if flow.deadline_s != deadline_s {
            if let Some(entry) = F::assured().get_ptr_mut(key) {
                // SAFETY: a live map value; an aligned u32 store. If the entry was recycled
                // meanwhile, some flow lives a little longer.
                unsafe { (&raw mut (*entry).deadline_s).write_volatile(deadline_s) };
            } else {
                // The assured tier was full: by now there may be room.
                note_opening::<F>(key, flow, u32::from(tcp_flags));
            }
        }
    } else if flow.state == FlowState::Opening as u8 {
        note_opening::<F>(key, flow, u32::from(tcp_flags));
    }
}

/// Whether the packet begins something new in the tuple of a flow that is over: the client's SYN (or INIT),
/// or the endpoint's answer to a SYN that went straight to its own address, from the port of an
/// earlier connection through a service.
#[inline(always)]
pub(super) fn is_over<A: Copy>(flow: &Flow<A>, protocol: u8, tcp_flags: u8) -> bool {
    let beginning = if flow.has(FlowFlags::REPLY) {
        SYN | ACK
    } else {
        SYN
    };
    has_connections(protocol)
        && flow.state == FlowState::Closing as u8
        && tcp_flags & (SYN | ACK | RST | FIN) == beginning
}

separate! {
    /// An opening flow becomes assured when the client answers the endpoint: then a flood from
    /// spoofed sources cannot fill the tier that nothing evicts.
    fn note_opening(ref key: FlowKey, mut flow: Flow; tcp_flags)
        = go_on_opening as note_opening_v4, note_opening_v6;
    /// A FIN or RST on an established flow: it closes once both sides have sent FIN, or one RST.
    fn note_close(ref key: FlowKey, mut flow: Flow; tcp_flags)
        = go_on_closing as note_close_v4, note_close_v6;
}

#[inline(always)]
fn go_on_opening<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &mut Flow<F::Address>,
    tcp_flags: u32,
) -> u32 {
    let key = &on_stack(key);
    let tcp_flags = tcp_flags as u8;
    let Some(partner) = partner::<F>(key, flow) else {
        return 0;
    };
    if tcp_flags & RST != 0 {
        close::<F>(key, flow, partner);
        return 0;
    }
    let is_established = flow.state == FlowState::Established as u8;
    match F::pending().get_ptr_mut(&partner.key) {
        Some(other) => {
            // SAFETY: a live map value.
            let seen = unsafe { (*other).flags };
            let is_answered = seen & FlowFlags::SEEN != 0
                && (!has_connections(key.protocol) || tcp_flags & (SYN | ACK) == ACK);
            if !flow.has(FlowFlags::REPLY) && (is_answered || is_established) {
                partner.flow.flags |= seen;
                promote::<F>(key, flow, partner);
                return 0;
            }
            if flow.has(FlowFlags::SWITCHED) {
                // SAFETY: as in `note`. Where it was recycled meanwhile, another flow's client goes past
                // the stack.
                unsafe { (&raw mut (*other).flags).write_volatile(seen | FlowFlags::SWITCHED) };
            }
        }
        // The LRU took the other half.
        None => {
            let _ = F::pending().insert(&partner.key, &partner.flow, u64::from(BPF_NOEXIST));
        }
    }
    if let Some(entry) = F::pending().get_ptr_mut(key) {
        let state = if is_established {
            FlowState::Established
        } else {
            FlowState::Opening
        };
        // SAFETY: as in `note`.
        unsafe {
            (&raw mut (*entry).deadline_s).write_volatile(now_s() + state.lifetime_s(key.protocol));
            (&raw mut (*entry).flags).write_volatile(flow.flags | FlowFlags::SEEN);
        }
    }
    0
}

/// Moves both halves to the assured tier; inserts before it deletes.
#[inline(always)]
fn promote<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &mut Flow<F::Address>,
    partner: &mut Half<F::Address>,
) {
    enter(
        FlowState::Established,
        FlowFlags::SEEN,
        key.protocol,
        flow,
        &mut partner.flow,
    );
    if F::assured()
        .insert(&partner.key, &partner.flow, u64::from(BPF_ANY))
        .is_ok()
    {
        partner.flow = *flow;
        if F::assured()
            .insert(key, &partner.flow, u64::from(BPF_ANY))
            .is_ok()
        {
            let _ = F::pending().remove(key);
            let _ = F::pending().remove(&partner.key);
            count(Counter::Assured);
            return;
        }
        let _ = F::assured().remove(&partner.key);
    }
    count(Counter::AssuredFull);
    partner.flow = *flow;
    partner.flow.turn_to_partner(key);
    partner.flow.flags |= FlowFlags::SEEN;
    let _ = F::pending().insert(&partner.key, &partner.flow, u64::from(BPF_ANY));
    partner.flow = *flow;
    let _ = F::pending().insert(key, &partner.flow, u64::from(BPF_ANY));
}

#[inline(always)]
fn go_on_closing<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &mut Flow<F::Address>,
    tcp_flags: u32,
) -> u32 {
    let key = &on_stack(key);
    let Some(partner) = partner::<F>(key, flow) else {
        return 0;
    };
    // A flow that found no room in the assured tier may have lost its partner.
    if is_orphan::<F>(key, flow) != 0 {
        let _ = F::pending().remove(key);
        return 0;
    }
    let is_over = tcp_flags as u8 & RST != 0
        // SAFETY: a live map value.
        || pointer::<F>(&partner.key).is_none_or(|other| unsafe { (*other).has(FlowFlags::CLOSED) });
    if is_over {
        close::<F>(key, flow, partner);
    } else if let Some(entry) = pointer::<F>(key) {
        // SAFETY: as in `note`.
        unsafe { (&raw mut (*entry).flags).write_volatile(flow.flags | FlowFlags::CLOSED) };
    }
    0
}

/// Moves both halves to the LRU tier, where they wait out stray segments.
#[inline(always)]
fn close<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &mut Flow<F::Address>,
    partner: &mut Half<F::Address>,
) {
    let seen = FlowFlags::CLOSED | FlowFlags::SEEN;
    enter(
        FlowState::Closing,
        seen,
        key.protocol,
        flow,
        &mut partner.flow,
    );
    let _ = F::pending().insert(&partner.key, &partner.flow, u64::from(BPF_ANY));
    partner.flow = *flow;
    let _ = F::pending().insert(key, &partner.flow, u64::from(BPF_ANY));
    let _ = F::assured().remove(&partner.key);
    let _ = F::assured().remove(key);
}

/// Puts both halves into `state`.
#[inline(always)]
fn enter<A>(state: FlowState, seen: u8, protocol: u8, flow: &mut Flow<A>, partner: &mut Flow<A>) {
    let deadline_s = now_s() + state.lifetime_s(protocol);
    for half in [flow, partner] {
        half.state = state as u8;
        half.flags |= seen;
        half.deadline_s = deadline_s;
    }
}
