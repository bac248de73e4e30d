//! What each kernel hook does, as a short sequence.

mod egress;
mod ingress;
mod open;
pub(crate) mod socket;
pub(crate) mod stale;
pub(crate) mod tc;
mod translate;

use core::num::NonZeroU32;

use netproxy_common::Counter;

use crate::count::count_index;

/// Headers longer than this (link layer, options, extension headers, TCP) are not looked at.
const HEADER_BYTES: usize = 128;

/// What becomes of a packet. Each hook maps it to the kernel's return codes in one place.
///
/// One non-zero word and not an enum with fields: for `Option` and `Result` of those LLVM packs
/// an undefined half into a register, which may hold a pointer, and the verifier refuses
/// arithmetic on it ("pointer arithmetic with <<= operator prohibited").
#[derive(Clone, Copy)]
pub(crate) struct Verdict(NonZeroU32);

const DROP: u32 = 1 << 8;
const REDIRECT: u32 = 1 << 9;

impl Verdict {
    /// On its way, changed or not; whoever comes after us at this hook sees it.
    pub(crate) const PASS: Self = Self(NonZeroU32::MIN);

    /// Dropped, for this reason.
    #[inline(always)]
    pub(crate) fn drop(reason: Counter) -> Self {
        Self(NonZeroU32::MIN | (DROP | (reason as u32) << 16))
    }

    /// Sent elsewhere; `action` is what the redirecting helper asked for.
    #[inline(always)]
    pub(crate) fn redirect(action: u32) -> Self {
        Self(NonZeroU32::MIN | (REDIRECT | action << 16))
    }

    /// Whether it is a drop of which the sender is to be told.
    #[inline(always)]
    pub(crate) fn is_refusal(self) -> bool {
        let refusal = |reason: Counter| Self::drop(reason).0 == self.0;
        refusal(Counter::NoEndpoint) || refusal(Counter::UnusedPort)
    }

    /// Counts the reason of a drop that turned out otherwise.
    #[inline(always)]
    pub(crate) fn count(self) {
        count_index(self.0.get() >> 16);
    }

    /// Its three cases apart: the program's return code, given the hook's code for each.
    #[inline(always)]
    pub(crate) fn code(self, pass: i32, drop: i32) -> i32 {
        let bits = self.0.get();
        if bits & DROP != 0 {
            count_index(bits >> 16);
            drop
        } else if bits & REDIRECT != 0 {
            (bits >> 16) as i32
        } else {
            pass
        }
    }
}

impl From<Result<Self, Counter>> for Verdict {
    #[inline(always)]
    fn from(outcome: Result<Self, Counter>) -> Self {
        match outcome {
            Ok(verdict) => verdict,
            Err(reason) => Self::drop(reason),
        }
    }
}
