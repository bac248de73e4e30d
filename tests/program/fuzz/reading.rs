//! Where things stand in a packet, by the RFCs alone: the programs' own parser is what is tested.

mod sums;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

pub(super) use self::sums::fill_in;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;

/// Length of the Ethernet header.
pub(super) const ETHERNET: usize = 14;
/// TCP flag bits.
pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 1 << 1;
pub(super) const RST: u8 = 1 << 2;
pub(super) const ACK: u8 = 1 << 4;

/// Length of the header of an ICMP error.
pub(super) const ICMP_HEADER: usize = 8;

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tuple {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) protocol: u8,
}

impl Tuple {
    /// The tuple of an answer.
    pub(super) fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
        }
    }
}

/// Which part of a datagram it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Whole,
    First,
    Later,
}

/// What the fragments of a datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Datagram {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    identification: u32,
}

/// An IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) piece: Piece,
    /// Of a fragment.
    identification: u32,
    /// Both, where they are there.
    pub(super) ports: Option<(u16, u16)>,
    /// Offsets of the IP header, of the transport header, and of the end by the IP header or of the bytes,
    /// whichever comes first.
    pub(super) ip: usize,
    pub(super) transport: usize,
    pub(super) end: usize,
    /// Where it ends by the IP header; None: that does not say.
    declared_end: Option<usize>,
    /// Whether an ICMP error quotes it.
    is_quoted: bool,
    /// Whether the source route of an IPv6 packet leads elsewhere first.
    pub(super) has_way_left: bool,
}

impl Reading {
    /// Of an IP packet at `ip`; None: it is none.
    pub(super) fn of(bytes: &[u8], ip: usize) -> Option<Self> {
        Self::read(bytes, ip, false)
    }

    /// Of what an ICMP error quotes at `ip` up to the end of `bytes`, whose own lengths mean nothing.
    pub(super) fn of_quote(bytes: &[u8], ip: usize) -> Option<Self> {
        Self::read(bytes, ip, true)
    }

    fn read(bytes: &[u8], ip: usize, is_quoted: bool) -> Option<Self> {
        let mut reading = match bytes.get(ip)? >> 4 {
            4 => Self::of_v4(bytes, ip, is_quoted)?,
            6 => Self::of_v6(bytes, ip, is_quoted)?,
            _ => return None,
        };
        reading.is_quoted = is_quoted;
        let has_ports = matches!(reading.protocol, TCP | UDP | SCTP);
        if has_ports && reading.piece != Piece::Later && reading.transport + 4 <= reading.end {
            reading.ports = Some((
                word(bytes, reading.transport)?,
                word(bytes, reading.transport + 2)?,
            ));
        }
        Some(reading)
    }

    fn of_v4(bytes: &[u8], ip: usize, is_quoted: bool) -> Option<Self> {
        let header = usize::from(bytes[ip] & 0xf) * 4;
        let octets = |at: usize| Some(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).unwrap());
        let length = usize::from(word(bytes, ip + 2)?);
        let fragment = word(bytes, ip + 6)?;
        let end = if is_quoted || length == 0 {
            bytes.len()
        } else {
            bytes.len().min(ip + length)
        };
        // All that there is of its options may be their beginning.
        let is_short = !is_quoted && length != 0 && length < header;
        if header < 20 || is_short {
            return None;
        }
        Some(Self {
            source: Ipv4Addr::from(octets(ip + 12)?).into(),
            destination: Ipv4Addr::from(octets(ip + 16)?).into(),
            protocol: bytes[ip + 9],
            piece: piece(fragment & 0x1fff, fragment & 0x2000 != 0),
            identification: u32::from(word(bytes, ip + 4)?),
            ports: None,
            ip,
            transport: ip + header,
            end,
            declared_end: (length != 0).then_some(ip + length),
            is_quoted,
            has_way_left: false,
        })
    }

    fn of_v6(bytes: &[u8], ip: usize, is_quoted: bool) -> Option<Self> {
        let octets = |at: usize| Some(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).unwrap());
        let length = usize::from(word(bytes, ip + 4)?);
        let (source, destination) = (octets(ip + 8)?, octets(ip + 24)?);
        let end = if is_quoted || length == 0 {
            bytes.len()
        } else {
            bytes.len().min(ip + 40 + length)
        };
        let mut transport = ip + 40;
        let mut protocol = bytes[ip + 6];
        let mut which = Piece::Whole;
        let mut identification = 0;
        let mut has_way_left = false;
        // RFC 8200, section 4; what has no ports in clear (AH, ESP) is a transport here, and so is what the
        // kernel takes for one (`ipv6_ext_hdr`).
        while let 0 | 43 | 44 | 60 = protocol {
            // All that there is of it may be its beginning.
            let header = bytes.get(transport..transport + 4)?;
            if protocol == 44 {
                let offset = u16::from_be_bytes([header[2], header[3]]);
                which = piece(offset >> 3, offset & 1 != 0);
                let half = |at| word(bytes, transport + at).map_or(0, u32::from);
                identification = half(4) << 16 | half(6);
                transport += 8;
            } else {
                has_way_left |= protocol == 43 && header[3] != 0;
                transport += (usize::from(header[1]) + 1) * 8;
            }
            protocol = header[0];
            if which == Piece::Later {
                break;
            }
        }
        Some(Self {
            source: Ipv6Addr::from(source).into(),
            destination: Ipv6Addr::from(destination).into(),
            protocol,
            piece: which,
            identification,
            ports: None,
            ip,
            transport,
            end,
            declared_end: (length != 0).then_some(ip + 40 + length),
            is_quoted,
            has_way_left,
        })
    }

    pub(super) fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// Whether there is nothing between the IP header and the transport.
    pub(super) fn is_plain(&self) -> bool {
        self.transport == self.ip + if self.is_v4() { 20 } else { 40 }
    }

    /// Whether it is a fragment, and there is nothing but that header between the IP header and the data.
    pub(super) fn is_plain_fragment(&self) -> bool {
        let header = if self.is_v4() { 20 } else { 48 };
        self.piece != Piece::Whole && self.transport == self.ip + header
    }

    /// Its tuple, where it has ports.
    pub(super) fn tuple(&self) -> Option<Tuple> {
        let (from, to) = self.ports?;
        Some(Tuple {
            source: SocketAddr::new(self.source, from),
            destination: SocketAddr::new(self.destination, to),
            protocol: self.protocol,
        })
    }

    /// What it does to a connection, as TCP flags, into which the first chunk of SCTP is translated (INIT is a
    /// SYN, INIT ACK a SYN with ACK, ABORT and SHUTDOWN COMPLETE a RST, all else an ACK); zero for others.
    pub(super) fn flags(&self, bytes: &[u8]) -> u8 {
        let byte = |offset: usize| bytes[..self.end].get(self.transport + offset).copied();
        // A chunk that is cut off by a lie about the length is one to the programs; a stack drops it.
        let has_chunk = self
            .declared_end
            .is_none_or(|end| self.transport + 16 <= end);
        match self.protocol {
            _ if self.ports.is_none() => 0,
            TCP => byte(13).unwrap_or_default(),
            SCTP => match byte(12).filter(|_| byte(13).is_some() && has_chunk) {
                Some(1) => SYN,
                Some(2) => SYN | ACK,
                Some(6 | 14) => RST,
                _ => ACK,
            },
            _ => 0,
        }
    }

    /// Whether its transport header is there as a whole.
    pub(super) fn has_whole_header(&self) -> bool {
        self.ports.is_some() && self.transport + least_header(self.protocol) <= self.end
    }

    /// Whether its IP header says that it ends before the transport, or nothing of where.
    pub(super) fn lies_about_its_end(&self) -> bool {
        self.declared_end.is_none_or(|end| end < self.transport)
    }

    /// The datagram of which it is a fragment, if it is one.
    pub(super) fn datagram(&self) -> Option<Datagram> {
        (self.piece != Piece::Whole).then_some(Datagram {
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            identification: self.identification,
        })
    }

    /// Offset of the TTL or hop limit.
    pub(super) fn ttl_at(&self) -> usize {
        self.ip + if self.is_v4() { 8 } else { 7 }
    }

    /// Offsets of both addresses, which follow each other.
    pub(super) fn addresses(&self) -> Range<usize> {
        if self.is_v4() {
            self.ip + 12..self.ip + 20
        } else {
            self.ip + 8..self.ip + 40
        }
    }

    /// Where the transport checksum is, where there is one that ends before the packet does.
    pub(super) fn checksum(&self) -> Option<Range<usize>> {
        let (at, length) = match self.protocol {
            TCP => (16, 2),
            UDP => (6, 2),
            ICMP | ICMPV6 => (2, 2),
            SCTP => (8, 4),
            _ => return None,
        };
        let at = self.transport + at;
        (self.piece != Piece::Later && at + length <= self.end).then_some(at..at + length)
    }

    /// Whether it is an ICMP error, which quotes.
    pub(super) fn is_error(&self, bytes: &[u8]) -> bool {
        let kinds = match (self.is_v4(), self.protocol) {
            (true, ICMP) => &[3, 4, 5, 11, 12][..],
            (false, ICMPV6) => &[1, 2, 3, 4, 137][..],
            _ => return false,
        };
        self.piece != Piece::Later
            && self.transport + ICMP_HEADER <= self.end
            && bytes
                .get(self.transport)
                .is_some_and(|kind| kinds.contains(kind))
    }

    /// What it quotes, if it is an ICMP error.
    pub(super) fn quoted(&self, bytes: &[u8]) -> Option<Self> {
        if !self.is_error(bytes) {
            return None;
        }
        let quote = Self::of_quote(&bytes[..self.end], self.transport + ICMP_HEADER)?;
        (quote.is_v4() == self.is_v4()).then_some(quote)
    }
}

fn piece(offset: u16, has_more: bool) -> Piece {
    match (offset, has_more) {
        (0, false) => Piece::Whole,
        (0, true) => Piece::First,
        _ => Piece::Later,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The shortest transport header of a protocol with ports.
pub(super) fn least_header(protocol: u8) -> usize {
    match protocol {
        TCP => 20,
        SCTP => 12,
        _ => 8,
    }
}
