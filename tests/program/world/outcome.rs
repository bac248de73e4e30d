//! What a program made of a packet.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, NetSlice, SlicedPacket, TransportSlice};
use netproxy_common::Counter;

use super::packet::Packet;
use super::refusal::{self, Told};

/// `TCX_NEXT`, `TC_ACT_SHOT` and `TC_ACT_REDIRECT` of uapi/linux/bpf.h and `pkt_cls.h`.
const NEXT: i32 = -1;
const SHOT: i32 = 2;
const REDIRECT: i32 = 7;

/// What became of a packet.
pub(crate) struct Outcome {
    pub(super) code: i32,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    pub(super) has_link_layer: bool,
    pub(super) counted: BTreeMap<Counter, u64>,
}

impl Outcome {
    /// It goes on, and looks like this.
    #[track_caller]
    pub(crate) fn passes_as<T>(self, expected: &T) -> Self
    where
        for<'a> &'a T: Into<Vec<u8>>,
    {
        self.has_code(NEXT);
        self.looks_like(&expected.into());
        self
    }

    /// It goes on, byte for byte as it came.
    #[track_caller]
    pub(crate) fn passes_untouched(self) -> Self {
        self.has_code(NEXT);
        self.looks_like(&self.input);
        self
    }

    /// It is sent elsewhere, and looks like this.
    #[track_caller]
    pub(crate) fn redirects_as<T>(self, expected: &T) -> Self
    where
        for<'a> &'a T: Into<Vec<u8>>,
    {
        self.has_code(REDIRECT);
        self.looks_like(&expected.into());
        self
    }

    /// It is dropped, for this reason.
    #[track_caller]
    pub(crate) fn drops(self, reason: Counter) -> Self {
        self.has_code(SHOT);
        assert!(reason.is_drop(), "{reason:?} is no reason to drop");
        self.counts(reason)
    }

    /// It comes back as an ICMP error of the family: port unreachable, from the address asked for.
    #[track_caller]
    pub(crate) fn refuses(self, reason: Counter) -> Self {
        self.answers(reason, Told::PortUnreachable)
    }

    /// It comes back as an ICMP error of the family: no hop is left.
    #[track_caller]
    pub(crate) fn expires(self) -> Self {
        self.answers(Counter::Expired, Told::Expired)
    }

    /// It comes back as an ICMP error of the family: its way carries `mtu` bytes at most.
    #[track_caller]
    pub(crate) fn exceeds(self, mtu: u16) -> Self {
        self.answers(Counter::PacketTooBig, Told::TooBig(mtu))
    }

    #[track_caller]
    fn answers(self, reason: Counter, told: Told) -> Self {
        self.has_code(REDIRECT);
        refusal::answers(&self.input, &self.output, self.has_link_layer, told);
        self.counts(reason).counts(Counter::Refused)
    }

    /// As [`Self::refuses`], once the device has filled in the transport checksum of what is quoted.
    #[track_caller]
    pub(crate) fn refuses_once_filled_in(mut self, reason: Counter) -> Self {
        let told = Told::PortUnreachable;
        refusal::quotes(&self.input, &self.output, self.has_link_layer, told);
        self.output = refusal::filled_in(&self.output, self.has_link_layer);
        refusal::is_sound(&self.output, self.has_link_layer);
        self.has_code(REDIRECT);
        self.counts(reason).counts(Counter::Refused)
    }

    /// It comes back as the reset of its connection, from the address asked for.
    #[track_caller]
    pub(crate) fn resets(self) -> Self {
        refusal::is_sound(&self.output, self.has_link_layer);
        self.comes_back_as_reset()
    }

    /// As [`Self::resets`], once the device has filled in the checksum.
    #[track_caller]
    pub(crate) fn resets_once_filled_in(mut self) -> Self {
        refusal::fill_in_segment(&mut self.output);
        self.resets()
    }

    #[track_caller]
    fn comes_back_as_reset(self) -> Self {
        self.has_code(REDIRECT);
        refusal::resets(&self.input, &self.output);
        self.counts(Counter::ConnectionReset)
            .counts(Counter::Refused)
    }

    /// Whether a refusal came out.
    pub(crate) fn was_refused(&self) -> bool {
        self.counted.contains_key(&Counter::Refused)
    }

    /// This was counted once.
    #[track_caller]
    pub(crate) fn counts(self, counter: Counter) -> Self {
        assert_eq!(self.counted.get(&counter), Some(&1), "{self:?}");
        self
    }

    /// Nothing was counted.
    #[track_caller]
    pub(crate) fn counts_nothing(self) -> Self {
        assert!(self.counted.is_empty(), "{self:?}");
        self
    }

    /// Whether it came out as this packet.
    pub(crate) fn is_as(&self, packet: &Packet) -> bool {
        self.output == packet.bytes()
    }

    /// Whether it was dropped.
    pub(crate) fn is_dropped(&self) -> bool {
        self.code == SHOT
    }

    /// The packet as it came out.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }

    /// Where it comes from now.
    #[track_caller]
    pub(crate) fn source(&self) -> SocketAddr {
        self.tuple().0
    }

    /// Where it goes now.
    #[track_caller]
    pub(crate) fn destination(&self) -> SocketAddr {
        self.tuple().1
    }

    #[track_caller]
    fn tuple(&self) -> (SocketAddr, SocketAddr) {
        tuple(&self.output, self.has_link_layer).expect("TCP, UDP or SCTP comes out")
    }

    #[track_caller]
    fn has_code(&self, code: i32) {
        assert_eq!(
            name(self.code),
            name(code),
            "is not what became of it: {self:?}"
        );
    }

    #[track_caller]
    fn looks_like(&self, expected: &[u8]) {
        let expected = Bytes(expected, self.has_link_layer);
        assert_eq!(Bytes(&self.output, self.has_link_layer), expected);
    }
}

/// Source and destination of a TCP, UDP or SCTP packet.
fn tuple(bytes: &[u8], has_link_layer: bool) -> Option<(SocketAddr, SocketAddr)> {
    let packet = if has_link_layer {
        SlicedPacket::from_ethernet(bytes).ok()?
    } else {
        SlicedPacket::from_ip(bytes).ok()?
    };
    let payload = packet.ip_payload().cloned();
    let (source, destination): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
            )
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
            )
        }
        NetSlice::Arp(_) => return None,
    };
    let (from, to) = match (packet.transport, payload?) {
        (Some(TransportSlice::Tcp(tcp)), _) => (tcp.source_port(), tcp.destination_port()),
        (Some(TransportSlice::Udp(udp)), _) => (udp.source_port(), udp.destination_port()),
        (None, payload) if payload.ip_number == IpNumber::SCTP => {
            let &[a, b, c, d] = payload.payload.first_chunk()?;
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        }
        _ => return None,
    };
    Some((
        SocketAddr::new(source, from),
        SocketAddr::new(destination, to),
    ))
}

fn name(code: i32) -> String {
    match code {
        NEXT => "passed".to_owned(),
        SHOT => "dropped".to_owned(),
        REDIRECT => "redirected".to_owned(),
        other => format!("returned {other}"),
    }
}

/// A packet that shows itself in hexadecimal, with its tuple where it has one.
#[derive(PartialEq, Eq)]
struct Bytes<'a>(&'a [u8], bool);

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((source, destination)) = tuple(self.0, self.1) {
            write!(f, "{source} -> {destination} ")?;
        }
        for chunk in self.0.chunks(2) {
            write!(f, " ")?;
            for byte in chunk {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("verdict", &name(self.code))
            .field("input", &Bytes(&self.input, self.has_link_layer))
            .field("output", &Bytes(&self.output, self.has_link_layer))
            .field("counted", &self.counted)
            .finish()
    }
}
