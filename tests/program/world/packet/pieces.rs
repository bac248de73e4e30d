//! Datagrams in pieces.

use super::{Fragment, Packet, Transport};

/// A fragment of a datagram, as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece(Vec<u8>);

impl Packet {
    /// The datagram in pieces that carry `bytes` bytes each, a multiple of eight, but the last, in order.
    /// It has no IP options or extension headers.
    pub(crate) fn pieces(&self, bytes: usize) -> Vec<Piece> {
        let datagram = self.datagram();
        let count = datagram.len().div_ceil(bytes);
        let chunks = datagram.chunks(bytes).enumerate();
        let pieces = chunks.map(|(number, data)| {
            let offset = u16::try_from(number * bytes / 8).unwrap();
            let has_more = number + 1 < count;
            self.piece(Fragment { offset, has_more }, data)
        });
        pieces.collect()
    }

    /// A piece of the datagram that carries `data`, whatever is there in the datagram.
    pub(crate) fn piece(&self, fragment: Fragment, data: &[u8]) -> Piece {
        let protocol = match self.transport {
            Transport::Tcp(_) => 6,
            Transport::Udp { .. } => 17,
            Transport::Sctp(_) => 132,
        };
        let packet = self.clone().may_be_fragmented().fragment(fragment);
        Piece(packet.carrying(protocol, data))
    }

    /// What follows the IP header.
    pub(crate) fn datagram(&self) -> Vec<u8> {
        self.ip_bytes().split_off(self.ip_header_bytes())
    }

    /// What pieces, as they stand on the wire, are together; they need not be in order.
    pub(crate) fn join(&self, pieces: &[Vec<u8>]) -> Vec<u8> {
        const ETHERNET: usize = 14;
        let mut datagram = Vec::new();
        for piece in pieces {
            let ip = &piece[ETHERNET..];
            let (offset, data) = if self.is_v4() {
                (u16::from_be_bytes([ip[6], ip[7]]) << 3, &ip[20..])
            } else {
                (u16::from_be_bytes([ip[42], ip[43]]) & !7, &ip[48..])
            };
            let offset = usize::from(offset);
            datagram.resize(datagram.len().max(offset + data.len()), 0);
            datagram[offset..][..data.len()].copy_from_slice(data);
        }
        datagram
    }

    fn ip_header_bytes(&self) -> usize {
        if self.is_v4() { 20 } else { 40 }
    }
}

impl From<&Piece> for Vec<u8> {
    fn from(piece: &Piece) -> Self {
        piece.0.clone()
    }
}
