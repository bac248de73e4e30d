//! Packets, described by what they mean and written by etherparse: lengths and checksums are
//! computed anew each time, never carried over.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    Ethernet2Header, IpFragOffset, IpHeaders, IpNumber, Ipv4Header, Ipv4Options, Ipv6Extensions,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, PacketBuilder,
    TcpHeader,
};
use netproxy::model::Protocol;

use super::topology::{Flavour, NODE_MAC, PEER_MAC};

/// A TCP or UDP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    source: SocketAddr,
    destination: SocketAddr,
    transport: Transport,
    ttl: u8,
    link: Option<[u8; 6]>,
    extras: Extras,
    is_unlimited: bool,
    payload: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Transport {
    Tcp { flags: Flags, sequence: u32 },
    Udp { has_checksum: bool },
}

/// TCP flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    syn: bool,
    ack: bool,
    fin: bool,
    rst: bool,
}

/// What may stand between the IP header and the transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Extras {
    v4_options: Vec<u8>,
    hop_by_hop: bool,
    destination_options: bool,
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
    let transport = Transport::Tcp {
        flags: Flags::default(),
        sequence: 0x0102_0304,
    };
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
            Protocol::Sctp => panic!("no flavour has SCTP"),
        }
    }

    /// The first packet of the answer.
    pub(crate) fn answer(self, source: SocketAddr, destination: SocketAddr) -> Packet {
        match self.protocol {
            Protocol::Tcp => tcp(source, destination).syn().ack(),
            _ => self.first(source, destination),
        }
    }

    /// Any packet after the first two.
    pub(crate) fn later(self, source: SocketAddr, destination: SocketAddr) -> Packet {
        match self.protocol {
            Protocol::Tcp => tcp(source, destination).ack(),
            _ => self.first(source, destination),
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
            payload: b"an odd number of bytes.".to_vec(),
        }
    }

    /// Whether it is of IPv4.
    pub(crate) fn is_v4(&self) -> bool {
        self.source.is_ipv4()
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
    pub(crate) fn to_mac(mut self, mac: [u8; 6]) -> Self {
        self.link = Some(mac);
        self
    }

    pub(crate) fn syn(self) -> Self {
        self.flag(|flags| flags.syn = true)
    }

    pub(crate) fn ack(self) -> Self {
        self.flag(|flags| flags.ack = true)
    }

    pub(crate) fn fin(self) -> Self {
        self.flag(|flags| flags.fin = true)
    }

    pub(crate) fn rst(self) -> Self {
        self.flag(|flags| flags.rst = true)
    }

    fn flag(mut self, set: impl FnOnce(&mut Flags)) -> Self {
        match &mut self.transport {
            Transport::Tcp { flags, .. } => set(flags),
            Transport::Udp { .. } => panic!("UDP has no flags"),
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
    pub(crate) fn destination_options(mut self) -> Self {
        self.extras.destination_options = true;
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

    /// An ICMP echo request between the same addresses.
    pub(crate) fn echo_request(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2(PEER_MAC, NODE_MAC).ip(self.ip_headers());
        if self.source.is_ipv4() {
            builder
                .icmpv4_echo_request(7, 1)
                .write(&mut bytes, &self.payload)
                .unwrap();
        } else {
            builder
                .icmpv6_echo_request(7, 1)
                .write(&mut bytes, &self.payload)
                .unwrap();
        }
        bytes
    }

    /// The packet as it stands on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let ip = self.ip_headers();
        let transport = self.tcp_header();
        let (source, destination) = (self.source.port(), self.destination.port());
        let builder = match self.link {
            Some(mac) => PacketBuilder::ethernet2(PEER_MAC, mac).ip(ip),
            None => PacketBuilder::ip(ip),
        };
        match transport {
            Some(header) => builder
                .tcp_header(header)
                .write(&mut bytes, &self.payload)
                .unwrap(),
            None => builder
                .udp(source, destination)
                .write(&mut bytes, &self.payload)
                .unwrap(),
        }
        if self.is_unlimited {
            self.hide_length(&mut bytes);
        }
        if self.transport
            == (Transport::Udp {
                has_checksum: false,
            })
        {
            let checksum = bytes.len() - self.payload.len() - 2;
            bytes[checksum..][..2].fill(0);
        }
        bytes
    }

    /// Writes the length as zero, and the header checksum accordingly.
    fn hide_length(&self, bytes: &mut [u8]) {
        let ip = Ethernet2Header::LEN;
        if self.source.is_ipv6() {
            bytes[ip + 4..][..2].fill(0);
            return;
        }
        let (mut header, _) = Ipv4Header::from_slice(&bytes[ip..]).unwrap();
        header.total_len = 0;
        header.header_checksum = header.calc_header_checksum();
        bytes[ip..][..header.header_len()].copy_from_slice(&header.to_bytes());
    }

    fn tcp_header(&self) -> Option<TcpHeader> {
        let Transport::Tcp { flags, sequence } = self.transport else {
            return None;
        };
        Some(TcpHeader {
            syn: flags.syn,
            ack: flags.ack,
            fin: flags.fin,
            rst: flags.rst,
            acknowledgment_number: if flags.ack { 0x0506_0708 } else { 0 },
            ..TcpHeader::new(
                self.source.port(),
                self.destination.port(),
                sequence,
                29_200,
            )
        })
    }

    fn ip_headers(&self) -> IpHeaders {
        // Overwritten by the builder.
        let next = IpNumber::TCP;
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header =
                    Ipv4Header::new(0, self.ttl, next, source.octets(), destination.octets())
                        .unwrap();
                header.options = Ipv4Options::try_from(&self.extras.v4_options[..]).unwrap();
                header.identification = 0x4711;
                if let Some(Fragment { offset, has_more }) = self.extras.fragment {
                    header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
                    header.more_fragments = has_more;
                }
                IpHeaders::Ipv4(header, Default::default())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    hop_limit: self.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Default::default()
                };
                IpHeaders::Ipv6(header, self.extras.v6_extensions(next))
            }
            mixed => panic!("no packet goes from {} to {}", mixed.0, mixed.1),
        }
    }
}

impl Extras {
    fn v6_extensions(&self, next: IpNumber) -> Ipv6Extensions {
        // PadN (RFC 8200, section 4.2) over six and over fourteen bytes.
        let short = Ipv6RawExtHeader::new_raw(next, &[1, 4, 0, 0, 0, 0]).unwrap();
        let mut long = [0; 14];
        long[..2].copy_from_slice(&[1, 12]);
        let long = Ipv6RawExtHeader::new_raw(next, &long).unwrap();
        Ipv6Extensions {
            hop_by_hop_options: self.hop_by_hop.then(|| short.clone()),
            destination_options: self.destination_options.then_some(long),
            routing: self.routing.map(|segments_left| Ipv6RoutingExtensions {
                // Type 253 is for experiments (RFC 4727).
                routing: Ipv6RawExtHeader::new_raw(next, &[253, segments_left, 0, 0, 0, 0])
                    .unwrap(),
                final_destination_options: None,
            }),
            fragment: self.fragment.map(|Fragment { offset, has_more }| {
                let offset = IpFragOffset::try_new(offset).unwrap();
                Ipv6FragmentHeader::new(next, offset, has_more, 0x4711_0815)
            }),
            ..Default::default()
        }
    }
}

impl From<&Packet> for Vec<u8> {
    fn from(packet: &Packet) -> Self {
        packet.bytes()
    }
}
