//! The packets of a trace: built as a client or an endpoint would send them, and read as a program left them.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6FlowLabel, Ipv6Header,
    NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TransportSlice,
};
use netproxy::model::Protocol;

/// Whoever sends it.
const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const TTL: u8 = 64;
const PAYLOAD: &[u8] = b"netproxy trace";
/// `INIT` and `INIT ACK` of RFC 9260, without parameters.
const SCTP_INIT: u8 = 1;
const SCTP_INIT_ACK: u8 = 2;

/// A flag of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TcpFlag {
    /// Opens a connection
    Syn,
    /// Acknowledges something
    Ack,
    /// Closes one direction
    Fin,
    /// Ends the connection
    Rst,
    /// Hands over data
    Psh,
}

/// What it is to its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The client's first.
    First,
    /// The endpoint's first.
    Answer,
    /// A TCP segment with these flags.
    Flags(Vec<TcpFlag>),
}

/// A packet as it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Of a protocol with ports.
    Packet {
        source: SocketAddr,
        destination: SocketAddr,
        is_reset: bool,
    },
    /// An ICMP error.
    Error(IcmpError),
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IcmpError {
    PortUnreachable,
    TooBig,
    TimeExceeded,
    Other,
}

impl TcpFlag {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Syn => "SYN",
            Self::Ack => "ACK",
            Self::Fin => "FIN",
            Self::Rst => "RST",
            Self::Psh => "PSH",
        }
    }
}

impl Part {
    /// Whether it asks for something new.
    pub(super) fn begins(&self) -> bool {
        match self {
            Self::First => true,
            Self::Answer => false,
            Self::Flags(flags) => {
                flags.contains(&TcpFlag::Syn)
                    && ![TcpFlag::Ack, TcpFlag::Fin, TcpFlag::Rst]
                        .iter()
                        .any(|flag| flags.contains(flag))
            }
        }
    }
}

/// The packet from its Ethernet header on, to the owner of `mac`.
///
/// # Errors
/// The ends are of two families.
pub(super) fn build(
    protocol: Protocol,
    part: &Part,
    [source, destination]: [SocketAddr; 2],
    mac: [u8; 6],
) -> anyhow::Result<Vec<u8>> {
    let builder =
        PacketBuilder::ethernet2(SENDER, mac).ip(ip_header(source.ip(), destination.ip())?);
    let (from, to) = (source.port(), destination.port());
    let mut bytes = Vec::new();
    match protocol {
        Protocol::Tcp => {
            let mut header = TcpHeader::new(from, to, 0x0102_0304, 64_240);
            for flag in flags(part) {
                match flag {
                    TcpFlag::Syn => header.syn = true,
                    TcpFlag::Ack => {
                        header.ack = true;
                        header.acknowledgment_number = 0x0506_0708;
                    }
                    TcpFlag::Fin => header.fin = true,
                    TcpFlag::Rst => header.rst = true,
                    TcpFlag::Psh => header.psh = true,
                }
            }
            builder.tcp_header(header).write(&mut bytes, &[])
        }
        Protocol::Udp => builder.udp(from, to).write(&mut bytes, PAYLOAD),
        Protocol::Sctp => builder.write(&mut bytes, IpNumber::SCTP, &association(part, from, to)),
    }
    .context("the packet cannot be built")?;
    Ok(bytes)
}

fn flags(part: &Part) -> &[TcpFlag] {
    match part {
        Part::First => &[TcpFlag::Syn],
        Part::Answer => &[TcpFlag::Syn, TcpFlag::Ack],
        Part::Flags(flags) => flags,
    }
}

fn ip_header(source: IpAddr, destination: IpAddr) -> anyhow::Result<IpHeaders> {
    // Lengths, checksum and what follows are the builder's.
    Ok(match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header =
                Ipv4Header::new(0, TTL, IpNumber::TCP, source.octets(), destination.octets())
                    .context("the packet cannot be built")?;
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: 0,
                next_header: IpNumber::TCP,
                hop_limit: TTL,
                source: source.octets(),
                destination: destination.octets(),
            };
            IpHeaders::Ipv6(header, Ipv6Extensions::default())
        }
        _ => bail!("no packet goes from {source} to {destination}: they are of two IP families"),
    })
}

/// A packet of SCTP with one chunk. Its checksum is zero, as a sender leaves it to the device.
fn association(part: &Part, from: u16, to: u16) -> Vec<u8> {
    let chunk = if *part == Part::Answer {
        SCTP_INIT_ACK
    } else {
        SCTP_INIT
    };
    let tag: u32 = if *part == Part::Answer {
        0x0102_0304
    } else {
        0
    };
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend(tag.to_be_bytes());
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend([chunk, 0, 0, 20]);
    bytes.extend(0x0506_0708_u32.to_be_bytes());
    bytes.extend(65_536_u32.to_be_bytes());
    bytes.extend([0, 1, 0, 1]);
    bytes.extend(1_u32.to_be_bytes());
    bytes
}

/// What a packet is, from its Ethernet header on; None: nothing that these programs make.
pub(super) fn read(bytes: &[u8]) -> Option<Seen> {
    let sliced = SlicedPacket::from_ethernet(bytes).ok()?;
    let (source, destination): (IpAddr, IpAddr) = match sliced.net.as_ref()? {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Arp(_) => return None,
    };
    let packet = |from: u16, to: u16, is_reset| Seen::Packet {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
        is_reset,
    };
    Some(match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            packet(tcp.source_port(), tcp.destination_port(), tcp.rst())
        }
        Some(TransportSlice::Udp(udp)) => packet(udp.source_port(), udp.destination_port(), false),
        Some(TransportSlice::Icmpv4(icmp)) => Seen::Error(match (icmp.type_u8(), icmp.code_u8()) {
            (3, 3) => IcmpError::PortUnreachable,
            (3, 4) => IcmpError::TooBig,
            (11, _) => IcmpError::TimeExceeded,
            _ => IcmpError::Other,
        }),
        Some(TransportSlice::Icmpv6(icmp)) => Seen::Error(match (icmp.type_u8(), icmp.code_u8()) {
            (1, 4) => IcmpError::PortUnreachable,
            (2, _) => IcmpError::TooBig,
            (3, _) => IcmpError::TimeExceeded,
            _ => IcmpError::Other,
        }),
        _ => {
            let payload = sliced.ip_payload()?;
            if payload.ip_number != IpNumber::SCTP {
                return None;
            }
            let port = |at: usize| {
                let bytes = payload.payload.get(at..at + 2)?;
                Some(u16::from_be_bytes(bytes.try_into().ok()?))
            };
            packet(port(0)?, port(2)?, false)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read_as_it_was_meant() {
        for (source, destination) in [
            ("192.0.2.1:40000", "198.51.100.7:80"),
            ("[2001:db8::1]:40000", "[2001:db8::7]:80"),
        ] {
            let ends = [source, destination].map(|end| end.parse::<SocketAddr>().unwrap());
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                for part in [Part::First, Part::Answer] {
                    let bytes = build(protocol, &part, ends, [2; 6]).unwrap();

                    let seen = Seen::Packet {
                        source: ends[0],
                        destination: ends[1],
                        is_reset: false,
                    };
                    assert_eq!(read(&bytes), Some(seen), "{protocol} {part:?}");
                }
            }
        }
    }

    #[test]
    fn only_a_syn_alone_begins_something() {
        use TcpFlag::{Ack, Psh, Syn};

        assert!(Part::First.begins());
        assert!(Part::Flags(vec![Syn, Psh]).begins());
        assert!(!Part::Flags(vec![Syn, Ack]).begins());
        assert!(!Part::Flags(vec![Ack]).begins());
    }

    #[test]
    fn no_packet_goes_from_one_family_to_the_other() {
        let ends = ["192.0.2.1:1", "[2001:db8::7]:80"].map(|end| end.parse().unwrap());

        assert!(build(Protocol::Udp, &Part::First, ends, [2; 6]).is_err());
    }
}
