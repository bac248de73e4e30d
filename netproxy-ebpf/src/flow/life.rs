//! The life of a flow: opening, established, closing. Its halves change where they are, but for those that a crowd has
//! kept out of the assured tier.

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use netproxy_common::flow::FlowFlags;
use netproxy_common::protocol::has_connections;
use netproxy_common::{Counter, Flow, FlowKey, FlowState};

use super::tier::{Tier, use_pending};
use super::{edges, is_orphan, on_stack, partner, turnover};
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
    if flow.state == FlowState::Closing as u8 {
        return;
    }
    let is_established = flow.state == FlowState::Established as u8;
    // Who has sent FIN may still reset.
    if tcp_flags & RST != 0
        || (is_established && tcp_flags & FIN != 0 && !flow.has(FlowFlags::CLOSED))
    {
        note_close::<F>(key, flow, u32::from(tcp_flags));
    } else if is_established {
        let deadline_s = now_s() + FlowState::Established.lifetime_s(key.protocol);
        if flow.deadline_s != deadline_s {
            if let Some(entry) = F::assured().get_ptr_mut(key) {
                // SAFETY: a live map value; an aligned u32 store. If the entry was recycled
                // meanwhile, some flow lives a little longer.
                unsafe { (&raw mut (*entry).deadline_s).write_volatile(deadline_s) };
            } else {
                // The assured tier was full: by now there may be room.
                note_opening::<F>(key, flow, u32::from(tcp_flags));
            }
        }
    } else {
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
    /// A FIN on an established flow, or an RST: it closes once both sides have sent FIN, or one RST.
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
    let Some((entry, tier)) = find::<F>(key) else {
        return 0;
    };
    let is_established = flow.state == FlowState::Established as u8;
    match other_of::<F>(key, partner, tier) {
        Some(other) => {
            // SAFETY: a live map value.
            let seen = unsafe { (*other).flags };
            let is_answered = seen & FlowFlags::SEEN != 0
                && (!has_connections(key.protocol) || tcp_flags & (SYN | ACK) == ACK);
            if !flow.has(FlowFlags::REPLY) && (is_answered || is_established) {
                if tier == Tier::Assured {
                    turn::<F>(key, entry, FlowState::Established, FlowFlags::SEEN);
                    turn::<F>(key, other, FlowState::Established, FlowFlags::SEEN);
                    turnover::is_past_opening::<F>();
                    count(Counter::Assured);
                } else {
                    partner.flow.flags |= seen;
                    promote::<F>(key, flow, partner);
                }
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
            let _ = tier.insert::<F>(&partner.key, &partner.flow, BPF_NOEXIST);
        }
    }
    let state = if is_established {
        FlowState::Established
    } else {
        FlowState::Opening
    };
    let deadline_s = now_s() + state.lifetime_s(key.protocol);
    if tier == Tier::Pending {
        use_pending::<F>(state, deadline_s);
    }
    // SAFETY: as in `note`.
    unsafe {
        (&raw mut (*entry).deadline_s).write_volatile(deadline_s);
        (&raw mut (*entry).flags).write_volatile(flow.flags | FlowFlags::SEEN);
    }
    0
}

/// The half under `key`, and where it is.
#[inline(always)]
fn find<F: Family>(key: &FlowKey<F::Address>) -> Option<(*mut Flow<F::Address>, Tier)> {
    match Tier::Assured.pointer::<F>(key) {
        Some(flow) => Some((flow, Tier::Assured)),
        None => Some((Tier::Pending.pointer::<F>(key)?, Tier::Pending)),
    }
}

/// The other half of the one under `key`, in the same tier.
#[inline(always)]
fn other_of<F: Family>(
    key: &FlowKey<F::Address>,
    partner: &Half<F::Address>,
    tier: Tier,
) -> Option<*mut Flow<F::Address>> {
    tier.pointer::<F>(&partner.key)
        // SAFETY: a live map value.
        .filter(|other| unsafe { (**other).is_partner_of(key) })
}

/// Puts a half into `state`.
#[inline(always)]
fn turn<F: Family>(
    key: &FlowKey<F::Address>,
    half: *mut Flow<F::Address>,
    state: FlowState,
    flags: u8,
) {
    let deadline_s = now_s() + state.lifetime_s(key.protocol);
    // SAFETY: as in `note`.
    unsafe {
        let before = (&raw const (*half).flags).read_volatile();
        (&raw mut (*half).deadline_s).write_volatile(deadline_s);
        (&raw mut (*half).flags).write_volatile(before | flags);
        (&raw mut (*half).state).write_volatile(state as u8);
    }
}

/// Moves both halves to the assured tier; inserts before it deletes.
#[inline(always)]
fn promote<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &mut Flow<F::Address>,
    partner: &mut Half<F::Address>,
) {
    edges::note::<F>(flow);
    let deadline_s = now_s() + FlowState::Established.lifetime_s(key.protocol);
    for half in [&mut *flow, &mut partner.flow] {
        half.state = FlowState::Established as u8;
        half.flags |= FlowFlags::SEEN;
        half.deadline_s = deadline_s;
    }
    if Tier::Assured
        .insert::<F>(&partner.key, &partner.flow, BPF_ANY)
        .is_ok()
    {
        partner.flow = *flow;
        if Tier::Assured
            .insert::<F>(key, &partner.flow, BPF_ANY)
            .is_ok()
        {
            Tier::Pending.remove::<F>(key);
            Tier::Pending.remove::<F>(&partner.key);
            count(Counter::Assured);
            return;
        }
        Tier::Assured.remove::<F>(&partner.key);
    }
    count(Counter::AssuredFull);
    use_pending::<F>(FlowState::Established, deadline_s);
    partner.flow = *flow;
    partner.flow.turn_to_partner(key);
    partner.flow.flags |= FlowFlags::SEEN;
    let _ = Tier::Pending.insert::<F>(&partner.key, &partner.flow, BPF_ANY);
    partner.flow = *flow;
    let _ = Tier::Pending.insert::<F>(key, &partner.flow, BPF_ANY);
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
    let Some((entry, tier)) = find::<F>(key) else {
        return 0;
    };
    // A flow that found no room in the assured tier may have lost its partner.
    if tier == Tier::Pending && is_orphan::<F>(key, flow) != 0 {
        tier.remove::<F>(key);
        return 0;
    }
    let other = other_of::<F>(key, partner, tier);
    let is_over = tcp_flags as u8 & RST != 0
        // SAFETY: a live map value.
        || other.is_none_or(|other| unsafe { (*other).has(FlowFlags::CLOSED) });
    if is_over {
        close::<F>(key, (entry, other), tier, partner);
    } else {
        // SAFETY: as in `note`.
        unsafe { (&raw mut (*entry).flags).write_volatile(flow.flags | FlowFlags::CLOSED) };
    }
    0
}

/// Closes both halves, which wait out stray segments; the other one may be lost.
#[inline(always)]
fn close<F: Family>(
    key: &FlowKey<F::Address>,
    (entry, other): (*mut Flow<F::Address>, Option<*mut Flow<F::Address>>),
    tier: Tier,
    partner: &mut Half<F::Address>,
) {
    let flags = FlowFlags::CLOSED | FlowFlags::SEEN;
    // SAFETY: a live map value.
    let is_opening = unsafe { (*entry).state } == FlowState::Opening as u8;
    if let Some(other) = other {
        turn::<F>(key, other, FlowState::Closing, flags);
    }
    turn::<F>(key, entry, FlowState::Closing, flags);
    if tier == Tier::Assured {
        if is_opening {
            turnover::is_past_opening::<F>();
        }
        turnover::closed::<F>(key, partner);
    } else {
        let deadline_s = now_s() + FlowState::Closing.lifetime_s(key.protocol);
        use_pending::<F>(FlowState::Closing, deadline_s);
    }
}
