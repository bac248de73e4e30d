//! Whether there are edge flows: the answers of those are all that is translated where packets leave the node, but for
//! what its own processes send. Where every pod is served at the socket there are seldom any.
//!
//! Whoever is about to insert one says when (`EDGE_OPENED`). User space says before when any that is alive was inserted
//! if at all (`NO_EDGE_BEFORE`): when it began to walk a flow table in which it found none.

use netproxy_common::{Flow, FlowKind};

use crate::clock::now_s;
use crate::family::Family;
use crate::maps::{EDGE_OPENED, NO_EDGE_BEFORE};

/// Says that a half of this flow is about to be inserted, if that is an edge flow.
#[inline(always)]
pub(super) fn note<F: Family>(flow: &Flow<F::Address>) {
    if flow.kind != FlowKind::Edge as u8 {
        return;
    }
    let Some(opened_s) = EDGE_OPENED.get_ptr_mut(F::NUMBER) else {
        return;
    };
    let now_s = now_s();
    // SAFETY: a live value, an aligned word. Of two CPUs that store at once the earlier may win, by less than the
    // margin that user space leaves. A store a second: CPUs share the line.
    unsafe {
        if opened_s.read_volatile() != now_s {
            opened_s.write_volatile(now_s);
        }
    }
}

/// Whether a packet may be the answer of one.
#[inline(always)]
pub(crate) fn may_exist<F: Family>() -> bool {
    let (Some(opened_s), Some(before_s)) = (
        EDGE_OPENED.get_ptr(F::NUMBER),
        NO_EDGE_BEFORE.get_ptr(F::NUMBER),
    ) else {
        return true;
    };
    // SAFETY: live values, aligned words.
    unsafe { opened_s.read_volatile() >= before_s.read_volatile() }
}
