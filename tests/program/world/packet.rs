//! Packets, described by what they mean.

mod pieces;
mod sctp;
mod wire;

use std::net::SocketAddr;

use etherparse::TcpHeader;
use netproxy::model::Protocol;

pub(crate) use self::pieces::Piece;
pub(crate) use self::sctp::{Chunk, holds as sctp_holds, sctp};
use super::topology::{Flavour, NODE_MAC};

/// A TCP, UDP or SCTP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    source: SocketAddr,
    destination: SocketAddr,
    transport: Transport,
    ttl: u8,
    link: Option<[u8; 6]>,
    extras: Extras,
    is_unlimited: bool,
    may_be_fragmented: bool,
    payload: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Transport {
    /// Ports and checksum are written later.
    Tcp(TcpHeader),
    Udp {
        has_checksum: bool,
    },
    Sctp(Chunk),
}

/// What may stand between the IP header and the transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Extras {
    v4_options: Vec<u8>,
    hop_by_hop: bool,
    /// Bytes of options.
    destination_options: Option<usize>,
    /// Segments left of a routing header.
    routing: Option<u8>,
    fragment: Option<Fragment>,
}

/// Which part of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Where it starts, in units of eight bytes.
    pub(crate) offset: u16,
    /// Whether it is not the last one.
    pub(crate) has_more: bool,
}

/// A TCP segment with data, but without any flag.
pub(crate) fn tcp(source: SocketAddr, destination: SocketAddr) -> Packet {
    let transport = Transport::Tcp(TcpHeader::new(0, 0, 0x0102_0304, 29_200));
    Packet::new(source, destination, transport)
}

/// A UDP datagram with data.
pub(crate) fn udp(source: SocketAddr, destination: SocketAddr) -> Packet {
    Packet::new(source, destination, Transport::Udp { has_checksum: true })
}

impl Flavour {
    /// The first packet of a flow.
    pub(crate) fn first(self, source: SocketAddr, destination: SocketAddr) -> Packet {
        match self.protocol {
            Protocol::Tcp => tcp(source, destination).syn(),
            Protocol::Udp => udp(source, destination),
            Protocol::Sctp => sctp(Chunk::Init, source, destination),
        }
    }

    /// The first packet of the answer.
    pub(crate) fn answer(self, source: SocketAddr, destination: SocketAddr) -> Packet {
        match self.protocol {
            Protocol::Tcp => tcp(source, destination).syn().ack(),
            Protocol::Sctp => sctp(Chunk::InitAck, source, destination),
            Protocol::Udp => self.first(source, destination),
        }
    }

    /// Any packet after the first two.
    pub(crate) fn later(self, source: SocketAddr, destination: SocketAddr) -> Packet {
        match self.protocol {
            Protocol::Tcp => tcp(source, destination).ack(),
            Protocol::Sctp => sctp(Chunk::Data, source, destination),
            Protocol::Udp => self.first(source, destination),
        }
    }
}

impl Packet {
    fn new(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Self {
        Self {
            source,
            destination,
            transport,
            ttl: 64,
            link: Some(NODE_MAC),
            extras: Extras::default(),
            is_unlimited: false,
            may_be_fragmented: false,
            payload: b"an odd number of bytes.".to_vec(),
        }
    }

    /// Whether it is of IPv4.
    pub(crate) fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// Where it comes from.
    pub(crate) fn source(&self) -> SocketAddr {
        self.source
    }

    /// Where it goes.
    pub(crate) fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// The same packet from elsewhere.
    pub(crate) fn from(mut self, source: SocketAddr) -> Self {
        self.source = source;
        self
    }

    /// The same packet to somewhere else.
    pub(crate) fn to(mut self, destination: SocketAddr) -> Self {
        self.destination = destination;
        self
    }

    pub(crate) fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// On its way it may be cut in pieces.
    pub(crate) fn may_be_fragmented(mut self) -> Self {
        self.may_be_fragmented = true;
        self
    }

    pub(crate) fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// On a device without a link layer.
    pub(crate) fn without_link_layer(mut self) -> Self {
        self.link = None;
        self
    }

    /// With another destination in the Ethernet header.
    pub(crate) fn with_mac(mut self, mac: [u8; 6]) -> Self {
        self.link = Some(mac);
        self
    }

    pub(crate) fn syn(self) -> Self {
        self.flag(|tcp| tcp.syn = true)
    }

    pub(crate) fn ack(self) -> Self {
        self.flag(|tcp| {
            tcp.ack = true;
            tcp.acknowledgment_number = 0x0506_0708;
        })
    }

    pub(crate) fn fin(self) -> Self {
        self.flag(|tcp| tcp.fin = true)
    }

    pub(crate) fn rst(self) -> Self {
        self.flag(|tcp| tcp.rst = true)
    }

    fn flag(mut self, set: impl FnOnce(&mut TcpHeader)) -> Self {
        match &mut self.transport {
            Transport::Tcp(tcp) => set(tcp),
            other => panic!("no flags: {other:?}"),
        }
        self
    }

    /// With a UDP checksum of zero, which means none.
    pub(crate) fn without_checksum(mut self) -> Self {
        self.transport = Transport::Udp {
            has_checksum: false,
        };
        self
    }

    /// With IPv4 options of `words` 32-bit words.
    pub(crate) fn v4_options(mut self, words: usize) -> Self {
        // NOP (RFC 791) means nothing, in any number.
        self.extras.v4_options = vec![1; words * 4];
        self
    }

    /// With a hop-by-hop header.
    pub(crate) fn hop_by_hop(mut self) -> Self {
        self.extras.hop_by_hop = true;
        self
    }

    /// With a destination-options header.
    pub(crate) fn destination_options(self) -> Self {
        self.long_destination_options(16)
    }

    /// With a destination-options header of `bytes` bytes, a multiple of eight.
    pub(crate) fn long_destination_options(mut self, bytes: usize) -> Self {
        self.extras.destination_options = Some(bytes);
        self
    }

    /// With a routing header that has so many segments left.
    pub(crate) fn routing(mut self, segments_left: u8) -> Self {
        self.extras.routing = Some(segments_left);
        self
    }

    /// One fragment of a datagram; it shows ports even if it is not the first, as an attacker's may.
    pub(crate) fn fragment(mut self, fragment: Fragment) -> Self {
        self.extras.fragment = Some(fragment);
        self
    }

    /// With a length of zero in the IP header: more segments than it could name.
    pub(crate) fn unlimited(mut self) -> Self {
        self.is_unlimited = true;
        self
    }
}

impl From<&Packet> for Vec<u8> {
    fn from(packet: &Packet) -> Self {
        packet.bytes()
    }
}
