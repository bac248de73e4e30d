//! Which piece of a datagram a packet is.

use super::Bytes;
use super::transport::{self, Ports};

/// A datagram whole, or a fragment of one.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Piece {
    /// All of it.
    Whole,
    /// The first fragment, with the whole transport header.
    First,
    /// A fragment behind the transport header: all of it is data, whatever it looks like.
    Later,
    /// A fragment that ends or begins inside of the transport header, as nobody has to send: made to be
    /// judged by one header and read with another (RFC 1858).
    Split,
}

/// Where a fragment is in its datagram.
pub(super) struct Place {
    /// Bytes before it.
    pub(super) offset: u16,
    /// Whether it is not the last.
    pub(super) has_more: bool,
}

impl Place {
    /// Of what is no fragment.
    pub(super) const WHOLE: Self = Self {
        offset: 0,
        has_more: false,
    };
}

impl Piece {
    /// Whether it is a fragment.
    #[inline(always)]
    pub(crate) fn is_fragment(self) -> bool {
        self != Self::Whole
    }

    /// Whether it has the transport header.
    #[inline(always)]
    pub(crate) fn has_header(self) -> bool {
        matches!(self, Self::Whole | Self::First)
    }

    /// The piece at `place`, and what its transport header at `start` says, where the packet ends at
    /// `end` by its IP header; None: malformed.
    #[inline(always)]
    pub(super) fn read<B: Bytes>(
        packet: B,
        place: &Place,
        start: usize,
        end: usize,
        protocol: u8,
    ) -> Option<(Self, Ports)> {
        let piece = match place {
            Place {
                offset: 0,
                has_more,
            } => match transport::parse(packet, start, end, protocol) {
                Some(ports) if *has_more => return Some((Self::First, ports)),
                Some(ports) => return Some((Self::Whole, ports)),
                None if *has_more => Self::Split,
                None => return None,
            },
            Place { offset, .. } if usize::from(*offset) < transport::least_bytes(protocol) => {
                Self::Split
            }
            Place { .. } => Self::Later,
        };
        Some((piece, Ports::none(protocol)))
    }
}
