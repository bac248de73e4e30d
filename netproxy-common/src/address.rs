//! Addresses, ports, and what an address means to this node (`ADDRESSES_V4`, `ADDRESSES_V6`).

use core::fmt::Debug;
use core::hash::Hash;

use crate::plain_data;

/// An address of one family, in network byte order.
pub trait Address: Copy + Eq + Ord + Hash + Debug + bytemuck::Pod {
    /// The address as it stands in a packet, where nothing is aligned to more than two bytes.
    type Wire: Copy;
    /// The wildcard (`0.0.0.0`, `::`), under which NodePorts are stored once.
    const UNSPECIFIED: Self;
    /// How long the prefixes are that [`Self::prefix`] tells apart.
    const PREFIX_BITS: u8;

    /// The number of its prefix in `PREFIXES`; several prefixes may have the same.
    fn prefix(&self) -> u16;

    /// From a packet.
    fn from_wire(wire: Self::Wire) -> Self;
    /// Into a packet.
    fn to_wire(self) -> Self::Wire;
}

/// An IPv4 address in network byte order.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4 {
    /// As in the packet.
    pub octets: [u8; 4],
}

/// An IPv6 address in network byte order.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::derived_hash_with_manual_eq,
    reason = "equality is the derived one, respelled"
)]
pub struct Ipv6 {
    /// As in the packet.
    pub octets: [u8; 16],
}

/// Word for word: the derived comparison becomes one of 128-bit integers, whose
/// 16-byte alignment LLVM's BPF backend does not know (`expandMEMCPY` in BPFInstrInfo.cpp).
impl PartialEq for Ipv6 {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (self.words(), other.words());
        left[0] == right[0] && left[1] == right[1] && left[2] == right[2] && left[3] == right[3]
    }
}

impl Ipv4 {
    /// From its octets.
    #[must_use]
    pub const fn new(octets: [u8; 4]) -> Self {
        Self { octets }
    }
}

impl Ipv6 {
    /// From its octets.
    #[must_use]
    pub const fn new(octets: [u8; 16]) -> Self {
        Self { octets }
    }

    /// The address as 32-bit words in memory order.
    #[must_use]
    #[inline(always)]
    pub const fn words(&self) -> [u32; 4] {
        // SAFETY: 16 bytes with the alignment of u32.
        unsafe { (&raw const *self).cast::<[u32; 4]>().read() }
    }
}

/// A 16-bit integer (port) in network byte order. Ordered by its bytes, hence by its value.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Be16 {
    /// As in the packet.
    pub bytes: [u8; 2],
}

/// What an address means to this node; several bits may be set. Value of `ADDRESSES_*`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressFlags {
    /// A combination of the constants below.
    pub bits: u32,
}

plain_data! { Ipv4 => 4, Ipv6 => 16, Be16 => 2, AddressFlags => 4 }

impl Address for Ipv4 {
    type Wire = [u16; 2];
    const UNSPECIFIED: Self = Self::new([0; 4]);
    const PREFIX_BITS: u8 = 16;

    #[inline(always)]
    fn prefix(&self) -> u16 {
        let [first, second, ..] = self.octets;
        u16::from_be_bytes([first, second])
    }

    #[inline(always)]
    fn from_wire(wire: Self::Wire) -> Self {
        bytemuck::cast(wire)
    }

    #[inline(always)]
    fn to_wire(self) -> Self::Wire {
        bytemuck::cast(self)
    }
}

impl Address for Ipv6 {
    type Wire = [u16; 8];
    const UNSPECIFIED: Self = Self::new([0; 16]);
    const PREFIX_BITS: u8 = 64;

    #[inline(always)]
    fn prefix(&self) -> u16 {
        let [first, second, ..] = self.words();
        let folded = first ^ second;
        ((folded ^ folded >> 16) & 0xffff) as u16
    }

    #[inline(always)]
    fn from_wire(wire: Self::Wire) -> Self {
        bytemuck::cast(wire)
    }

    #[inline(always)]
    fn to_wire(self) -> Self::Wire {
        bytemuck::cast(self)
    }
}

impl Be16 {
    /// Port zero, which stands for "none".
    pub const ZERO: Self = Self { bytes: [0; 2] };

    /// From host byte order.
    #[must_use]
    pub const fn new(host: u16) -> Self {
        Self {
            bytes: host.to_be_bytes(),
        }
    }

    /// To host byte order.
    #[must_use]
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.bytes)
    }
}

impl AddressFlags {
    /// The cluster IP of a service.
    pub const CLUSTER_IP: u32 = 1;
    /// A load-balancer VIP or external IP: has exact frontends, reached from inside and outside.
    pub const VIP: u32 = 1 << 1;
    /// Assigned to a device of this node.
    pub const NODE: u32 = 1 << 2;
    /// NodePorts answer on this address.
    pub const NODE_PORTS: u32 = 1 << 3;
    /// A cluster IP that a device of this node owns (`NodeLocal` DNSCache): never translated.
    pub const LEFT_ALONE: u32 = 1 << 4;

    /// No frontend's any more, but flows to it live on: only they are translated.
    pub const LINGERING: u32 = 1 << 5;

    /// Whether any of `bits` is set.
    #[must_use]
    pub const fn has(self, bits: u32) -> bool {
        self.bits & bits != 0
    }
}
