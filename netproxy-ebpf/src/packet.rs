//! A packet at a hook: one accessor for its bytes, and the headers that matter.

mod direct;
mod frame;
mod ipv4;
mod ipv6;
mod piece;
mod quoted;
mod sctp;
mod skb;
pub(crate) mod transport;

use netproxy_common::address::Address as _;
use netproxy_common::protocol::has_connections;
use netproxy_common::{Be16, FlowKey, Ipv4, Ipv6};

pub(crate) use self::frame::Frame;
pub(crate) use self::piece::Piece;
pub(crate) use self::quoted::Quoted;
pub(crate) use self::skb::{ETH_P_IP, ETH_P_IPV6, Skb};
use crate::checksum::{fold_short, word};
use crate::family::{Family, V4, V6};
use crate::route::ANY_SIZE;

/// Length of the link-layer header on Ethernet-like devices.
pub(crate) const ETHERNET: usize = 14;
/// Devices whose packets start with the IP header.
pub(crate) const NO_LINK_LAYER: usize = 0;

/// Headers longer than this (link layer, options, extension headers, TCP) are not looked at.
const HEADER_BYTES: usize = 128;

/// No transport header that is looked at starts beyond; a mask.
const MOST_HEADERS: usize = 0x7f;

/// What the kernel gives as the size of segments that have each their own, which are SCTP's
/// (`GSO_BY_FRAGS` of include/linux/skbuff.h).
const SEVERAL_SIZES: u32 = 0xffff;

/// TCP flag bits.
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 1 << 1;
pub(crate) const RST: u8 = 1 << 2;
pub(crate) const ACK: u8 = 1 << 4;

/// Bytes with IP headers among them. The only way to them; every access is checked against their end.
pub(crate) trait Bytes: Copy {
    /// Offset of the IP header.
    const IP: usize;
    /// Whether they are what an ICMP error quotes of a packet, which may end after eight bytes of the
    /// transport header.
    const ARE_QUOTED: bool;

    /// The value at `offset`, which must be even; None beyond the directly accessible part. `T`
    /// is aligned to two bytes at most, as headers are.
    fn read<T: Copy>(self, offset: usize) -> Option<T>;
    /// Overwrites the value at `offset`, under the same conditions. No checksum is touched.
    fn write<T: Copy>(self, offset: usize, value: T) -> Option<()>;
    /// Whether they stand for several segments, whose common length may be more than the IP header
    /// can say ("BIG TCP"; it says zero then).
    fn are_segmented(self) -> bool;
}

/// A packet at some hook.
pub(crate) trait Packet: Bytes {
    /// Makes the first `length` bytes (as far as there are so many) directly accessible; of segments of
    /// several sizes no more than is.
    fn make_accessible(self, length: usize);
    /// Adds `difference` to the transport checksum at `offset`; `flags` as for
    /// `bpf_l4_csum_replace`.
    fn adjust_checksum(self, offset: usize, difference: u32, flags: u64) -> Result<(), ()>;
    /// Adds `difference` to the sum of the whole packet, where the kernel knows it from the device
    /// (`CHECKSUM_COMPLETE`): for what was changed without a checksum that makes up for it.
    fn adjust_sum(self, difference: u32);
    /// How much of the transport's payload each of its segments carries; zero: it is one;
    /// [`SEVERAL_SIZES`]: nobody knows.
    fn segment_bytes(self) -> u32;
    /// Its length with all headers.
    fn length(self) -> usize;
    /// Whether a process of this node sent it, as opposed to having been forwarded.
    fn is_from_host(self) -> bool;
    /// The device by which it last came in to this node, which is the port where a bridge switches it and
    /// the bridge where that hands it to the stack; zero: a process of this node sent it.
    fn came_in_by(self) -> u32;
    /// The device at whose hook the packet is.
    fn ifindex(self) -> u32;
    /// The hook's context, for helpers.
    fn context(self) -> *mut core::ffi::c_void;
}

/// Headers of a packet of family `F`.
pub(crate) struct Headers<F: Family> {
    /// Its tuple; ports are zero where there are none, and in fragments without the transport header.
    pub(crate) key: FlowKey<F::Address>,
    /// TCP flags, or what an SCTP packet does, in those; zero for others.
    pub(crate) tcp_flags: u8,
    /// Whether it carries what services balance: TCP, UDP or SCTP.
    pub(crate) has_ports: bool,
    /// Which piece of a datagram it is.
    pub(crate) piece: Piece,
    /// Offset of the transport header. Two bytes that are not at a multiple of eight: of those the
    /// verifier forgets what it knows (check_stack_write_fixed_off in kernel/bpf/verifier.c), and
    /// so need not walk the rest of the program once for each way to get here.
    transport: u16,
    /// Bytes from the transport header to the packet's end by its IP header; meaningless for
    /// segments whose common length that cannot say.
    pub(crate) transport_bytes: u16,
    /// Always zero.
    #[expect(
        dead_code,
        reason = "Linux 6.1 wants every byte that a global function is given to be initialised \
                  (check_stack_range_initialized in kernel/bpf/verifier.c)"
    )]
    pad: u8,
}

const _: () = assert!(size_of::<Headers<V4>>() == size_of::<FlowKey<Ipv4>>() + 8);
const _: () = assert!(size_of::<Headers<V6>>() == size_of::<FlowKey<Ipv6>>() + 8);

impl<F: Family> Headers<F> {
    /// Headers yet to be filled.
    #[inline(always)]
    pub(crate) fn blank() -> Self {
        Self {
            key: FlowKey {
                source: F::Address::UNSPECIFIED,
                destination: F::Address::UNSPECIFIED,
                source_port: Be16::ZERO,
                destination_port: Be16::ZERO,
                protocol: 0,
                pad: [0; 3],
            },
            tcp_flags: 0,
            has_ports: false,
            piece: Piece::Whole,
            transport: 0,
            transport_bytes: 0,
            pad: 0,
        }
    }

    /// Makes what is looked at directly accessible. The payload of what a process of this node sends by TCP is elsewhere,
    /// and pulling some of it would have it copied, and the packet with it.
    #[inline(always)]
    pub(crate) fn make_accessible<P: Packet>(packet: P) {
        let ip_bytes = if F::HAS_HEADER_CHECKSUM {
            // Two bytes: of the first alone, LLVM makes a comparison by which the verifier learns nothing
            // (find_good_pkt_pointers in kernel/bpf/verifier.c).
            let [first, _]: [u8; 2] = packet.read(P::IP).unwrap_or_default();
            usize::from(first & 0x0f) * 4
        } else {
            F::HEADER_BYTES
        };
        if !transport::is_tcp_accessible::<F, P>(packet, ip_bytes) {
            packet.make_accessible(HEADER_BYTES);
        }
    }

    /// The destination address alone; None: the packet is too short.
    #[inline(always)]
    pub(crate) fn destination<P: Packet>(packet: P) -> Option<F::Address> {
        let at = P::IP + F::SOURCE_OFFSET + size_of::<F::Address>();
        let destination = packet.read(at).or_else(|| {
            packet.make_accessible(HEADER_BYTES);
            packet.read(at)
        });
        destination.map(F::Address::from_wire)
    }

    /// Offset of the transport header.
    #[inline(always)]
    pub(crate) fn transport(&self) -> usize {
        // The bound tells the verifier that an access this far is one inside a packet.
        usize::from(self.transport) & MOST_HEADERS
    }

    /// How much a device must carry for the packet, from the IP header on: of segments, for each of them.
    #[inline(always)]
    pub(crate) fn bytes<P: Packet>(&self, packet: P) -> u16 {
        let segment = packet.segment_bytes();
        if segment == SEVERAL_SIZES {
            // The sender's SCTP has cut them for its path (sctp_packet_transmit in net/sctp/output.c).
            return ANY_SIZE;
        }
        let segment = segment as usize;
        let bytes = if segment == 0 {
            packet.length().wrapping_sub(P::IP)
        } else {
            let transport = transport::header_bytes(packet, self.transport(), self.key.protocol);
            self.transport() - P::IP + transport + segment
        };
        if bytes < usize::from(u16::MAX) {
            bytes as u16
        } else {
            u16::MAX
        }
    }

    /// Whether the packet's checksum is one that the sender has left to the device, of TCP or UDP in one piece: then
    /// the field holds the sum of the pseudo header, by which it is told. One in 65 536 others is taken for one.
    #[inline(always)]
    pub(crate) fn leaves_checksum_to_device<P: Packet>(&self, packet: P) -> bool {
        let at = self.transport() + transport::checksum_offset(self.key.protocol);
        let bytes = if packet.are_segmented() {
            packet.length().wrapping_sub(self.transport()) as u32
        } else {
            u32::from(self.transport_bytes)
        };
        let pseudo_header = F::sum(&self.key.source)
            + F::sum(&self.key.destination)
            + word([0, self.key.protocol])
            + u64::from(bytes.to_be());
        packet
            .read::<u16>(at)
            .is_none_or(|checksum| checksum == fold_short(pseudo_header))
    }

    /// Whether it may be the first of something: a SYN, an INIT, or what knows no connections.
    #[inline(always)]
    pub(crate) fn opens(&self) -> bool {
        !has_connections(self.key.protocol) || self.tcp_flags & (SYN | ACK | RST | FIN) == SYN
    }

    /// Whether it is a TCP segment of a connection that its sender takes for open.
    #[inline(always)]
    pub(crate) fn acknowledges(&self) -> bool {
        self.key.protocol == netproxy_common::protocol::TCP && self.tcp_flags & (ACK | RST) == ACK
    }
}

/// Parsing, one implementation per family.
pub(crate) trait Parse: Family + Sized {
    /// The headers of `packet`; None: malformed.
    fn parse<B: Bytes>(packet: B) -> Option<Headers<Self>>;
    /// What a fragment has in common with the others of its datagram, as it stands in memory.
    fn identification<B: Bytes>(packet: B, fragment: &Headers<Self>) -> Option<u32>;
}

impl<F: Parse> Headers<F> {
    /// As `parse`, into `self`, as a function of its own for its stack.
    #[inline(never)]
    pub(crate) fn fill<B: Bytes>(&mut self, packet: B) -> bool {
        let Some(headers) = F::parse(packet) else {
            return false;
        };
        *self = headers;
        true
    }
}
