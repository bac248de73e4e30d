//! What each kernel hook does, as a short sequence.

mod egress;
mod ingress;
pub(crate) mod memory;
mod open;
pub(crate) mod socket;
pub(crate) mod stale;
pub(crate) mod tc;
mod translate;
pub(crate) mod xdp;

use core::num::NonZeroU32;

use netproxy_common::Counter;

use crate::count::count_index;
use crate::icmp::Icmp;
use crate::packet::{Headers, Skb};
use crate::separate::separate_packet;

separate_packet! {
    /// Fills in the headers of a packet, all of which is then accessible that is looked at; zero: it is malformed.
    fn read_headers(packet, mut headers) = fill
        as read_headers_v4, read_headers_v6, read_headers_v4_l3, read_headers_v6_l3;
}

#[inline(always)]
fn fill<F: Icmp, const L2: usize>(packet: Skb<L2>, headers: &mut Headers<F>) -> u32 {
    Headers::<F>::make_accessible(packet);
    u32::from(headers.fill(packet))
}

/// What becomes of a packet. Each hook maps it to the kernel's return codes in one place.
///
/// One non-zero word and not an enum with fields: for `Option` and `Result` of those LLVM packs
/// an undefined half into a register, which may hold a pointer, and the verifier refuses
/// arithmetic on it ("pointer arithmetic with <<= operator prohibited").
#[derive(Clone, Copy)]
pub(crate) struct Verdict(NonZeroU32);

const DROP: u32 = 1 << 8;
const REDIRECT: u32 = 1 << 9;
const TOO_BIG: u32 = 1 << 10;
const KNOWN: u32 = 1 << 11;

impl Verdict {
    /// On its way, changed or not; whoever comes after us at this hook sees it.
    pub(crate) const PASS: Self = Self(NonZeroU32::MIN);

    /// Dropped, for this reason.
    #[inline(always)]
    pub(crate) fn drop(reason: Counter) -> Self {
        Self(NonZeroU32::MIN | (DROP | (reason as u32) << 16))
    }

    /// Dropped for [`Counter::PacketTooBig`]: its way carries so many bytes at most.
    #[inline(always)]
    pub(crate) fn too_big(mtu: u16) -> Self {
        Self(NonZeroU32::MIN | (DROP | TOO_BIG | u32::from(mtu) << 16))
    }

    /// Sent elsewhere; `action` is what the redirecting helper asked for.
    #[inline(always)]
    pub(crate) fn redirect(action: u32) -> Self {
        Self(NonZeroU32::MIN | (REDIRECT | action << 16))
    }

    /// As one word, for functions that yield nothing else; zero: none.
    #[inline(always)]
    pub(crate) fn to_bits(verdict: Option<Self>) -> u32 {
        verdict.map_or(0, |verdict| verdict.0.get())
    }

    /// The inverse of `to_bits`.
    #[inline(always)]
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        NonZeroU32::new(bits).map(Self)
    }

    /// Whether it is a drop for this reason.
    #[inline(always)]
    pub(crate) fn is(self, reason: Counter) -> bool {
        Self::drop(reason).0.get() == self.0.get() & !KNOWN
    }

    /// The same, of a packet of the flow that stands in this CPU's `Opening`: it opens that, if it is not dropped.
    #[inline(always)]
    pub(crate) fn of_known_flow(self) -> Self {
        Self(self.0 | KNOWN)
    }

    /// Whether it is.
    #[inline(always)]
    pub(crate) fn is_of_known_flow(self) -> bool {
        self.0.get() & KNOWN != 0
    }

    /// Whether a packet opens a flow and goes on its way.
    #[inline(always)]
    pub(crate) fn opens(self) -> bool {
        self.0.get() & (DROP | KNOWN) == KNOWN
    }

    /// Whether whoever listens is told: something is dropped, or begins.
    #[inline(always)]
    pub(crate) fn is_told(self) -> bool {
        self.0.get() & (DROP | KNOWN) != 0
    }

    /// Whether the packet goes on its way.
    #[inline(always)]
    pub(crate) fn is_pass(self) -> bool {
        self.0.get() & (DROP | REDIRECT) == 0
    }

    /// What the way carries of which the packet is too big; zero: it is not.
    #[inline(always)]
    pub(crate) fn too_big_for(self) -> u16 {
        if self.0.get() & TOO_BIG != 0 {
            (self.0.get() >> 16) as u16
        } else {
            0
        }
    }

    /// Whether it is a drop of which the sender is to be told.
    #[inline(always)]
    pub(crate) fn is_refusal(self) -> bool {
        self.is(Counter::NoEndpoint)
            || self.is(Counter::UnusedPort)
            || self.is(Counter::Expired)
            || self.is(Counter::ConnectionReset)
            || self.too_big_for() != 0
    }

    /// The `Counter` of a drop.
    #[inline(always)]
    pub(crate) fn reason(self) -> Option<u32> {
        if self.0.get() & DROP == 0 {
            None
        } else if self.too_big_for() != 0 {
            Some(Counter::PacketTooBig as u32)
        } else {
            Some(self.0.get() >> 16)
        }
    }

    /// Counts the reason of a drop.
    #[inline(always)]
    pub(crate) fn count(self) {
        if let Some(reason) = self.reason() {
            count_index(reason);
        }
    }

    /// Its three cases apart: the program's return code, given the hook's code for each.
    #[inline(always)]
    pub(crate) fn code(self, pass: i32, drop: i32) -> i32 {
        let bits = self.0.get();
        if bits & DROP != 0 {
            self.count();
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
