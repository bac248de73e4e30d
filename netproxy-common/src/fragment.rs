//! Fragments (`FRAGMENTS_*`): only the first one of a datagram has the ports, and lends them to the
//! others.

use crate::plain_data;
use crate::{Be16, Ipv4, Ipv6};

/// Key of `FRAGMENTS_*`: what the fragments of one datagram have in common (RFC 791, RFC 8200), as it is
/// seen at the hook.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentKey<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// The identification as it stands in the packet; IPv4 fills the first two bytes in memory order.
    pub identification: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Always zero.
    pub pad: [u8; 3],
}

/// Value of `FRAGMENTS_*`: what the first fragment said.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Source port.
    pub source_port: Be16,
    /// Destination port.
    pub destination_port: Be16,
    /// When the entry counts as gone, in seconds of `CLOCK_MONOTONIC`.
    pub deadline_s: u32,
}

/// How long after the first fragment others count as its own, in seconds: as long as the kernel waits for
/// them (`IP_FRAG_TIME` in include/net/ip.h; `ipfrag_time`).
pub const FRAGMENT_LIFETIME_S: u32 = 30;

plain_data! {
    FragmentKey<Ipv4> => 16, FragmentKey<Ipv6> => 40,
    Fragment => 8,
}
