//! The two tiers of the flow table.
//!
//! Flows are in `FLOWS_*`, which evicts nothing. A flood must not fill it: each CPU may have so many flows there
//! that no client has confirmed, and what it opens beyond, as what finds no room, is in `PENDING_*`, an LRU. As long as
//! nothing is, nobody looks there.

use netproxy_common::{Flow, FlowKey, FlowState};

use crate::clock::now_s;
use crate::family::Family;
use crate::maps::PENDING_UNTIL;

/// How much later than its time the clock of another CPU may have been read.
const MARGIN_S: u32 = 2;

/// Where a flow is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    /// In `FLOWS_*`.
    Assured,
    /// In `PENDING_*`.
    Pending,
}

impl Tier {
    /// The half under `key`, if it is in this tier.
    #[inline(always)]
    pub(super) fn pointer<F: Family>(
        self,
        key: &FlowKey<F::Address>,
    ) -> Option<*mut Flow<F::Address>> {
        match self {
            Self::Assured => F::assured().get_ptr_mut(key),
            Self::Pending => F::pending().get_ptr_mut(key),
        }
    }

    /// Whether a half under `key` is in the other tier.
    #[inline(always)]
    pub(super) fn is_in_other<F: Family>(self, key: &FlowKey<F::Address>) -> bool {
        match self {
            Self::Assured => is_pending_used::<F>() && Self::Pending.pointer::<F>(key).is_some(),
            Self::Pending => Self::Assured.pointer::<F>(key).is_some(),
        }
    }

    /// Inserts a half, with the kernel's flags; its error else.
    #[inline(always)]
    pub(super) fn insert<F: Family>(
        self,
        key: &FlowKey<F::Address>,
        flow: &Flow<F::Address>,
        flags: u32,
    ) -> Result<(), i32> {
        match self {
            Self::Assured => F::assured().insert(key, flow, u64::from(flags)),
            Self::Pending => F::pending().insert(key, flow, u64::from(flags)),
        }
    }

    /// Removes a half, if there is one.
    #[inline(always)]
    pub(super) fn remove<F: Family>(self, key: &FlowKey<F::Address>) -> bool {
        match self {
            Self::Assured => F::assured().remove(key).is_ok(),
            Self::Pending => F::pending().remove(key).is_ok(),
        }
    }
}

/// The half under `key`, in whichever tier.
#[inline(always)]
pub(super) fn pointer<F: Family>(key: &FlowKey<F::Address>) -> Option<*mut Flow<F::Address>> {
    match Tier::Assured.pointer::<F>(key) {
        Some(flow) => Some(flow),
        None if looks_used(F::NUMBER) => Tier::Pending.pointer::<F>(key),
        None => None,
    }
}

/// Whether anything is in `PENDING_*`.
#[inline(always)]
pub(super) fn is_pending_used<F: Family>() -> bool {
    is_in_use(F::NUMBER) != 0
}

/// A function that the verifier walks once (see `separate.rs`).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_in_use(family: u32) -> u32 {
    u32::from(looks_used(family))
}

/// As `is_pending_used`, where the call chain has no room for another frame.
#[inline(always)]
pub(super) fn looks_used(family: u32) -> bool {
    let Some(until) = PENDING_UNTIL.get_ptr_mut(family) else {
        return true;
    };
    // SAFETY: a live value of two aligned words.
    let [passing_s, established_s] = unsafe {
        [
            (&raw const (*until).passing_s).read_volatile(),
            (&raw const (*until).established_s).read_volatile(),
        ]
    };
    // Nothing has been since the node has started.
    if passing_s | established_s == 0 {
        return false;
    }
    let now_s = now_s();
    passing_s >= now_s || established_s >= now_s
}

/// Says that a half in `state` is about to be in `PENDING_*`, and alive until its deadline.
#[inline(always)]
pub(super) fn use_pending<F: Family>(state: FlowState, deadline_s: u32) {
    let is_established = state as u8 == FlowState::Established as u8;
    put_to_use(F::NUMBER, u32::from(is_established), deadline_s);
}

/// As `is_in_use`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn put_to_use(family: u32, is_established: u32, deadline_s: u32) -> u32 {
    let Some(until) = PENDING_UNTIL.get_ptr_mut(family) else {
        return 0;
    };
    let deadline_s = deadline_s + MARGIN_S;
    // SAFETY: as above. Of two CPUs that store at once the earlier may win, by less than the margin.
    unsafe {
        let word = if is_established != 0 {
            &raw mut (*until).established_s
        } else {
            &raw mut (*until).passing_s
        };
        if word.read_volatile() < deadline_s {
            word.write_volatile(deadline_s);
        }
    }
    0
}
