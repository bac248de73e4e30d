//! How flows in `FLOWS_*` make room for others: no CPU has more than its part of unconfirmed ones there, and each
//! remembers so many closed ones, until whose turn comes again the segments that have strayed find them.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use netproxy_common::turnover::Turnover;
use netproxy_common::{FlowKey, FlowState};

use super::forget;
use super::tier::Tier;
use crate::config;
use crate::family::Family;
use crate::maps::{Half, TURNOVER};

/// Whether this CPU may open another flow there.
#[inline(always)]
pub(super) fn has_room<F: Family>() -> bool {
    // SAFETY: this CPU's value, where programs at tc and XDP hooks do not nest.
    of_this_cpu::<F>().is_some_and(|it| unsafe { (*it).opening } < config::most_opening())
}

/// Counts a flow that was opened there.
#[inline(always)]
pub(super) fn opened<F: Family>() {
    if let Some(turnover) = of_this_cpu::<F>() {
        // SAFETY: as above.
        unsafe { (*turnover).opening += 1 };
    }
}

/// Counts one that no longer is unconfirmed.
#[inline(always)]
pub(super) fn is_past_opening<F: Family>() {
    if let Some(turnover) = of_this_cpu::<F>() {
        // SAFETY: as above.
        unsafe { (*turnover).opening = (*turnover).opening.saturating_sub(1) };
    }
}

/// Notes a closed flow by one of its halves, and forgets the one that was closed longest ago. `room` is for that one's
/// key.
#[inline(always)]
pub(super) fn closed<F: Family>(key: &FlowKey<F::Address>, room: &mut Half<F::Address>) {
    let Some(turnover) = of_this_cpu::<F>() else {
        return;
    };
    let each = config::closed_per_cpu();
    // SAFETY: as above.
    let place = unsafe {
        let place = (*turnover).closed;
        let place = if place < each { place } else { 0 };
        (*turnover).closed = place + 1;
        place
    };
    // SAFETY: no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(noted) = F::closed().get_ptr_mut(cpu * each + place) else {
        return;
    };
    // SAFETY: a live value that no other CPU has.
    unsafe {
        room.key = *noted;
        *noted = *key;
    }
    if let Some(flow) = Tier::Assured.pointer::<F>(&room.key) {
        // SAFETY: a live map value, which `forget` reads before it removes anything.
        let flow = unsafe { &*flow };
        if flow.state == FlowState::Closing as u8 {
            forget::<F>(&room.key, flow);
        }
    }
}

#[inline(always)]
fn of_this_cpu<F: Family>() -> Option<*mut Turnover> {
    TURNOVER.get_ptr_mut(F::NUMBER)
}
