//! SCTP headers (RFC 9260, section 3), as far as translation needs them.

use netproxy_common::Be16;

use super::{ACK, Bytes, RST, SYN};

/// The common header.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Sctp {
    pub(super) source: Be16,
    pub(super) destination: Be16,
    verification_tag: [u16; 2],
    checksum: [u16; 2],
}

/// Chunk types.
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const SHUTDOWN_COMPLETE: u8 = 14;

/// Bytes of a chunk that is empty.
const CHUNK_BYTES: usize = 4;

/// What the packet with the common header at `offset` does to its association, as the TCP flags that do it to
/// a connection: INIT is a SYN, INIT ACK a SYN with ACK, ABORT and SHUTDOWN COMPLETE are a RST, all else is an
/// ACK. They are their packet's first chunk, but for what follows an AUTH chunk (RFC 4895), and an ABORT
/// behind other control chunks: then the flow ends by its deadline.
///
/// A packet that stands for many shows nothing behind the common header, and has data.
#[inline(always)]
pub(super) fn flags<B: Bytes>(packet: B, offset: usize, end: usize) -> u8 {
    let chunk = offset + size_of::<Sctp>();
    if chunk + CHUNK_BYTES > end {
        return ACK;
    }
    match packet.read::<[u8; 2]>(chunk) {
        Some([INIT, _]) => SYN,
        Some([INIT_ACK, _]) => SYN | ACK,
        Some([ABORT | SHUTDOWN_COMPLETE, _]) => RST,
        _ => ACK,
    }
}
