//! Opening a flow: its two halves, where nobody else's are.
//!
//! The reply half comes first, and is the reservation of its tuple. What has the tuple and is over is forgotten;
//! what nobody would miss can be asked to make way.

use aya_ebpf::bindings::BPF_NOEXIST;
use netproxy_common::{Counter, Flow, FlowKey, FlowState};

use super::tier::{Tier, pointer, use_pending};
use super::{edges, forget, is_alive, on_stack, partner, turnover};
use crate::count::count;
use crate::family::Family;
use crate::maps::Half;
use crate::separate::separate;

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

separate! {
    /// As `open`; zero, or an `OpenError`.
    fn insert(ref key: FlowKey, ref flow: Flow) = insert_both as open_flow_v4, open_flow_v6;
    /// Gives up the flow that has the tuple in which `flow` under `key` would be answered, if it may be.
    pub(crate) fn make_way(ref key: FlowKey, ref flow: Flow)
        = give_up as make_way_v4, make_way_v6;
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
    edges::note::<F>(flow);
    if turnover::has_room::<F>() {
        let refused = insert_into::<F>(Tier::Assured, key, flow, reply);
        if refused != OpenError::Full as u32 {
            if refused == 0 {
                turnover::opened::<F>();
            }
            return refused;
        }
        reply.flow = *flow;
        reply.flow.turn_to_partner(key);
    }
    use_pending::<F>(FlowState::Opening, flow.deadline_s);
    insert_into::<F>(Tier::Pending, key, flow, reply)
}

/// Inserts both halves into a tier, `reply` first. That is in the other tier since, too, if another CPU has put it
/// there: each inserts before it looks, so that not both go on.
#[inline(always)]
fn insert_into<F: Family>(
    tier: Tier,
    key: &FlowKey<F::Address>,
    flow: &Flow<F::Address>,
    reply: &mut Half<F::Address>,
) -> u32 {
    if let Err(refused) = tier.insert::<F>(&reply.key, &reply.flow, BPF_NOEXIST) {
        return if refused == EEXIST {
            OpenError::Taken as u32
        } else {
            OpenError::Full as u32
        };
    }
    if tier.is_in_other::<F>(&reply.key) {
        tier.remove::<F>(&reply.key);
        return OpenError::Taken as u32;
    }
    reply.flow = *flow;
    let error = match tier.insert::<F>(key, &reply.flow, BPF_NOEXIST) {
        Ok(()) if tier.is_in_other::<F>(key) => {
            tier.remove::<F>(key);
            OpenError::Exists
        }
        Ok(()) => {
            count(Counter::NewFlow);
            return 0;
        }
        Err(EEXIST) => OpenError::Exists,
        Err(_) => OpenError::Full,
    };
    tier.remove::<F>(&reply.key);
    error as u32
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

#[inline(always)]
fn give_up<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> u32 {
    let key = &on_stack(key);
    let Some(reply) = partner::<F>(key, flow) else {
        return 0;
    };
    let Some(other) = pointer::<F>(&reply.key) else {
        return 0;
    };
    // SAFETY: a live map value, which `forget` reads before it removes anything.
    let other = unsafe { &*other };
    if !may_give_way(other) {
        return 0;
    }
    forget::<F>(&reply.key, other);
    count(Counter::FlowGivenUp);
    1
}
