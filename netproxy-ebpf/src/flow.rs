//! The flow table: two halves per flow, two tiers.
//!
//! A half past its deadline counts as absent unless its partner is alive, so correctness never
//! waits for the agent. The reply half is inserted with NOEXIST: it is the reservation of the
//! tuple in which the endpoint answers. Either half restores the other while the flow is in the LRU,
//! unless somebody else has the other's tuple by then: two halves are partners only if each names the
//! other, and a half without a partner touches nobody else's.

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use netproxy_common::flow::FlowFlags;
use netproxy_common::protocol::{TCP, has_connections};
use netproxy_common::{Counter, Endpoint, Flow, FlowKey, FlowKind, FlowState};

use crate::clock::now_s;
use crate::count::count;
use crate::family::Family;
use crate::maps::Half;
use crate::packet::{ACK, FIN, Headers, RST, SYN};
use crate::separate::separate;
use crate::service;
use crate::usable::{self, Chosen};

/// Why a flow could not be opened; zero stands for none.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum OpenError {
    /// Another flow answers in the same tuple. What is above these bits is for how many seconds, if it
    /// is one that may be given up.
    Taken = 1,
    /// Another packet of the same client has opened the flow meanwhile.
    Exists,
    /// The table refuses.
    Full,
}

const EEXIST: i32 = -17;

/// How opening a flow ended: an `OpenError` or zero in the low bits.
#[derive(Clone, Copy)]
pub(crate) struct Opened(u32);

/// The bits of an `Opened` that hold an `OpenError`.
const ERROR_BITS: u32 = 2;

impl Opened {
    /// Somebody has the tuple who keeps it.
    pub(crate) const TAKEN: Self = Self(OpenError::Taken as u32);

    #[inline(always)]
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    #[inline(always)]
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(crate) fn is_taken(self) -> bool {
        self.0 & ((1 << ERROR_BITS) - 1) == OpenError::Taken as u32
    }

    /// How long the flow that has the tuple would go on without a packet, in seconds and at least one, if
    /// it may be given up; else zero.
    #[inline(always)]
    pub(crate) fn spare_s(self) -> u32 {
        self.0 >> ERROR_BITS
    }

    #[inline(always)]
    pub(crate) fn result(self) -> Result<(), OpenError> {
        match self.0 {
            0 => Ok(()),
            _ if self.is_taken() => Err(OpenError::Taken),
            error if error == OpenError::Exists as u32 => Err(OpenError::Exists),
            _ => Err(OpenError::Full),
        }
    }
}

/// The half that a packet with ports matches, copied, unless the packet begins something new in its
/// tuple.
#[inline(always)]
pub(crate) fn of_packet<F: Family>(headers: &Headers<F>) -> Option<Flow<F::Address>> {
    let key = &headers.key;
    let mut flow = find::<F>(key)?;
    if is_over(&flow, key.protocol, headers.tcp_flags)
        || (flow.state != FlowState::Established as u8 && is_orphan::<F>(key, &flow) != 0)
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

/// Opens the flow whose forward half is `flow` under `key`: both halves, or none.
#[inline(always)]
pub(crate) fn open<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &Flow<F::Address>,
) -> Result<(), OpenError> {
    try_open::<F>(key, flow).result()
}

/// As [`open`]; tells more about a tuple that is taken.
#[inline(always)]
pub(crate) fn try_open<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> Opened {
    Opened(insert::<F>(key, flow))
}

#[inline(always)]
fn insert_both<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> u32 {
    let key = &on_stack(key);
    let Some(reply) = partner::<F>(key, flow) else {
        return OpenError::Full as u32;
    };
    let taken = vacate::<F>(&reply.key);
    if taken != 0 {
        return taken;
    }
    if let Err(refused) = F::pending().insert(&reply.key, &reply.flow, u64::from(BPF_NOEXIST)) {
        return if refused == EEXIST {
            OpenError::Taken as u32
        } else {
            OpenError::Full as u32
        };
    }
    // Pending first, then a look in assured: a promotion inserts there before it deletes here.
    if F::assured().get_ptr(&reply.key).is_some() {
        let _ = F::pending().remove(&reply.key);
        return OpenError::Taken as u32;
    }
    reply.flow = *flow;
    match F::pending().insert(key, &reply.flow, u64::from(BPF_NOEXIST)) {
        Ok(()) => {
            count(Counter::NewFlow);
            0
        }
        Err(refused) => {
            let _ = F::pending().remove(&reply.key);
            if refused == EEXIST {
                OpenError::Exists as u32
            } else {
                OpenError::Full as u32
            }
        }
    }
}

/// The tuple in which the flow will be answered that this CPU has just opened.
#[inline(always)]
pub(crate) fn key_of_answer<F: Family>() -> Option<&'static FlowKey<F::Address>> {
    let half = F::halves().get_ptr(0)?;
    // SAFETY: as in `partner`.
    Some(unsafe { &(*half).key })
}

/// Zero if no live flow has a half under `key`, else `OpenError::Taken` with how long that may be given
/// up. One that only waits for the agent to remove it is forgotten, both halves: the one left over would
/// else pass for its successor's.
#[inline(always)]
fn vacate<F: Family>(key: &FlowKey<F::Address>) -> u32 {
    let Some(flow) = pointer::<F>(key) else {
        return 0;
    };
    let left_s = is_alive::<F>(key);
    if left_s == 0 {
        // SAFETY: a live map value, which `forget` reads before it removes anything.
        forget::<F>(key, unsafe { &*flow });
        return 0;
    }
    // SAFETY: as above.
    let spare_s = if may_give_way(unsafe { &*flow }) {
        left_s
    } else {
        0
    };
    spare_s << ERROR_BITS | OpenError::Taken as u32
}

/// Whether a flow may be given up for another, where there is no room for both: nobody would miss one
/// whose client has never answered, or that is closed.
#[inline(always)]
fn may_give_way<A>(flow: &Flow<A>) -> bool {
    flow.state != FlowState::Established as u8
}

separate! {
    /// As `open`; zero, or an `OpenError`.
    fn insert(ref key: FlowKey, ref flow: Flow) = insert_both as open_flow_v4, open_flow_v6;
    /// Forgets the flow of which `flow` under `key` is a half.
    pub(crate) fn forget(ref key: FlowKey, ref flow: Flow)
        = remove as forget_flow_v4, forget_flow_v6;
    /// Gives up the flow that has the tuple in which `flow` under `key` would be answered, if it may be.
    pub(crate) fn make_way(ref key: FlowKey, ref flow: Flow)
        = give_up as make_way_v4, make_way_v6;
    /// How long the flow of which a half is under `key` goes on without a packet, in seconds and at least
    /// one, as long as its longer half; zero: it is over.
    fn is_alive(ref key: FlowKey) = lives as is_flow_alive_v4, is_flow_alive_v6;
    /// Whether somebody else's half is where the partner of the half `flow` under `key` would be: the LRU took
    /// the partner, and another flow its tuple.
    fn is_orphan(ref key: FlowKey, ref flow: Flow) = has_lost as is_orphan_v4, is_orphan_v6;
    /// An opening flow becomes assured when the client answers the endpoint: then a flood from
    /// spoofed sources cannot fill the tier that nothing evicts.
    fn note_opening(ref key: FlowKey, mut flow: Flow; tcp_flags)
        = go_on_opening as note_opening_v4, note_opening_v6;
    /// A FIN or RST on an established flow: it closes once both sides have sent FIN, or one RST.
    fn note_close(ref key: FlowKey, mut flow: Flow; tcp_flags)
        = go_on_closing as note_close_v4, note_close_v6;
}

#[inline(always)]
fn remove<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> u32 {
    // The partner first: `flow` may be the entry itself.
    let mut half = on_stack(key);
    half.turn_to_partner(flow);
    if is_partner::<F>(&half, key) {
        let _ = F::pending().remove(&half);
        let _ = F::assured().remove(&half);
    }
    half = *key;
    let _ = F::pending().remove(&half);
    let _ = F::assured().remove(&half);
    0
}

#[inline(always)]
fn give_up<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> u32 {
    let key = &on_stack(key);
    let Some(reply) = partner::<F>(key, flow) else {
        return 0;
    };
    if F::assured().get_ptr(&reply.key).is_some() {
        return 0;
    }
    let Some(other) = F::pending().get_ptr(&reply.key) else {
        return 0;
    };
    // SAFETY: a live map value, read before anything is removed.
    let other = unsafe { &*other };
    if !may_give_way(other) {
        return 0;
    }
    // Not from the assured tier: if it is assured at this moment, it stays.
    let mut half = reply.key;
    half.turn_to_partner(other);
    if is_partner::<F>(&half, &reply.key) {
        let _ = F::pending().remove(&half);
    }
    let _ = F::pending().remove(&reply.key);
    count(Counter::FlowGivenUp);
    1
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
fn is_over<A: Copy>(flow: &Flow<A>, protocol: u8, tcp_flags: u8) -> bool {
    let beginning = if flow.has(FlowFlags::REPLY) {
        SYN | ACK
    } else {
        SYN
    };
    has_connections(protocol)
        && flow.state == FlowState::Closing as u8
        && tcp_flags & (SYN | ACK | RST | FIN) == beginning
}

/// The key, where maps take keys from: on Linux 6.1 they take neither keys nor values from the memory
/// that a global function is given (`map_key_value_types` in kernel/bpf/verifier.c). Values go by way of
/// the room for the partner.
#[inline(always)]
fn on_stack<A: Copy>(key: &FlowKey<A>) -> FlowKey<A> {
    *key
}

/// The half under `key`, in whichever tier.
#[inline(always)]
fn pointer<F: Family>(key: &FlowKey<F::Address>) -> Option<*mut Flow<F::Address>> {
    match F::assured().get_ptr_mut(key) {
        Some(flow) => Some(flow),
        None => F::pending().get_ptr_mut(key),
    }
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
