//! SCTP packets (RFC 9260): a common header and one chunk, whose CRC32c is computed over all of it.

use std::net::SocketAddr;

use crc::{CRC_32_ISCSI, Crc};

use super::{Packet, Transport};

/// Length of the common header, and of that of a chunk.
const HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;
/// Where the checksum is in the common header.
const CHECKSUM: usize = 8;

/// The type of a packet's chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Chunk {
    Data = 0,
    Init = 1,
    InitAck = 2,
    Sack = 3,
    Heartbeat = 4,
    HeartbeatAck = 5,
    Abort = 6,
    Shutdown = 7,
    ShutdownAck = 8,
    Error = 9,
    CookieEcho = 10,
    CookieAck = 11,
    ShutdownComplete = 14,
}

/// A packet of SCTP with data in its chunk, of whatever type.
pub(crate) fn sctp(chunk: Chunk, source: SocketAddr, destination: SocketAddr) -> Packet {
    Packet::new(source, destination, Transport::Sctp(chunk))
}

impl Packet {
    /// With four bytes of data more, chosen so that the checksum is zero for these ports.
    pub(crate) fn with_checksum_of_zero(mut self, chunk: Chunk) -> Self {
        /// The polynomial, with the coefficient of x³¹ in the lowest bit.
        const POLYNOMIAL: u32 = 0x82f6_3b78;
        // From the register that means zero, back over as many bits as are chosen.
        let wanted = (0..32).fold(u32::MAX, |register, _| {
            if register >> 31 == 1 {
                (register ^ POLYNOMIAL) << 1 | 1
            } else {
                register << 1
            }
        });
        self.payload.extend([0; 4]);
        let mut before = self.association(chunk);
        before[CHECKSUM..HEADER].fill(0);
        let before = checksum(&before[..before.len() - 4]);
        let register = !u32::from_le_bytes(before);
        let chosen = self.payload.len() - 4;
        self.payload[chosen..].copy_from_slice(&(register ^ wanted).to_le_bytes());
        self
    }

    /// What follows the IP header of a packet with this chunk.
    pub(super) fn association(&self, chunk: Chunk) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        // Who begins does not know the other's tag yet.
        let tag: u32 = if chunk == Chunk::Init { 0 } else { 0x0a0b_0c0d };
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([chunk as u8, 0]);
        // Longer than a chunk may be only where it stands for several.
        let length = u16::try_from(CHUNK_HEADER + self.payload.len()).unwrap_or(u16::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.payload);
        let checksum = checksum(&bytes);
        bytes[CHECKSUM..][..4].copy_from_slice(&checksum);
        bytes
    }
}

/// Whether the checksum of a packet is right that begins with the common header.
pub(crate) fn holds(packet: &[u8]) -> Option<bool> {
    let found = packet.get(CHECKSUM..HEADER)?;
    let mut blank = packet.to_vec();
    blank[CHECKSUM..HEADER].fill(0);
    Some(found == checksum(&blank))
}

/// Of bytes with zeros in the place of their checksum.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes).to_le_bytes()
}
