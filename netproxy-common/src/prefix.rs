//! Where any address is that is worth a look (`PREFIXES`): a bit for each prefix, so that packets to all others cost one
//! load. A bit is set before the first address of its prefix means something, and stays.

use crate::plain_data;

/// How many prefixes are told apart.
pub const PREFIXES: usize = 1 << 16;

const WORD_BITS: usize = u32::BITS as usize;

/// Value of `PREFIXES`, by family: zero for IPv4, one for IPv6.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// The bit of a prefix is that of its number, the lowest one of the first word first.
    pub words: [u32; PREFIXES / WORD_BITS],
}

plain_data! { Prefixes => PREFIXES / 8 }

/// In which word a prefix's bit is, and which one it is there.
#[must_use]
#[inline(always)]
pub const fn place(prefix: u16) -> (usize, u32) {
    (
        prefix as usize / WORD_BITS,
        1 << (prefix as usize % WORD_BITS),
    )
}
