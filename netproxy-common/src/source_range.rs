//! Which clients may reach load-balancer VIPs (`SOURCE_RANGES_*`, a longest-prefix trie).

use crate::plain_data;
use crate::{Ipv4, Ipv6};

/// Data of a key of `SOURCE_RANGES_*`: the prefix counts from the first bit of `set`. Values have
/// no meaning; a client that matches nothing is refused.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceRange<A> {
    /// The set's number, as in [`crate::Range::source_ranges`].
    pub set: u32,
    /// A network's address, or a client's.
    pub address: A,
}

plain_data! { SourceRange<Ipv4> => 8, SourceRange<Ipv6> => 20 }

/// Bits of [`SourceRange::set`], in front of the address's.
pub const SET_BITS: u32 = 32;
