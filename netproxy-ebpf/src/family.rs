//! What differs between IPv4 and IPv6: addresses, maps, checksums.

use netproxy_common::address::Address;
use netproxy_common::{DeviceFlags, Ipv4, Ipv6, Source};

use crate::config;
use crate::maps::{
    self, Addresses, Affinities, Assured, Closed, Endpoints, Fragments, Frontends, Halves,
    Networks, Openings, Pending, PortsTowards, SourceRanges,
};

/// An IP family of the datapath.
pub(crate) trait Family: 'static {
    /// Its addresses.
    type Address: Address + 'static;
    /// `AF_INET` or `AF_INET6`.
    const AF: u8;
    /// Its number in maps that have an entry for each family.
    const NUMBER: u32;
    /// Length of an IP header without options or extension headers.
    const HEADER_BYTES: usize;
    /// Whether the IP header has a checksum.
    const HAS_HEADER_CHECKSUM: bool;
    /// Offset of the source address in the IP header; the destination follows it.
    const SOURCE_OFFSET: usize;
    /// Offset of the number of what is carried, or of the first extension header.
    const PROTOCOL_OFFSET: usize;
    /// Offset of the TTL or hop limit.
    const TTL_OFFSET: usize;
    /// The `DeviceFlags` of a bridge that switches packets of this family past netfilter.
    const UNSEEN: u8;

    fn addresses() -> &'static Addresses<Self::Address>;
    fn frontends() -> &'static Frontends<Self::Address>;
    fn endpoints() -> &'static Endpoints<Self::Address>;
    fn assured() -> &'static Assured<Self::Address>;
    fn pending() -> &'static Pending<Self::Address>;
    fn closed() -> &'static Closed<Self::Address>;
    fn ports() -> &'static PortsTowards<Self::Address>;
    fn halves() -> &'static Halves<Self::Address>;
    fn service_cidrs() -> &'static Networks<Self::Address>;
    fn pod_cidrs() -> &'static Networks<Self::Address>;
    fn source_ranges() -> &'static SourceRanges<Self::Address>;
    fn affinity() -> &'static Affinities<Self::Address>;
    fn openings() -> &'static Openings<Self::Address>;
    fn fragments() -> &'static Fragments<Self::Address>;

    /// Its address of the two.
    fn address_of(source: &Source) -> Self::Address;
    /// Further flags for `bpf_l4_csum_replace` when addresses change.
    fn checksum_flags() -> u64;
    /// Sum of the address's 32-bit words as they stand in memory.
    fn sum(address: &Self::Address) -> u64;
    /// Sum of the complements of the address's words.
    fn complement_sum(address: &Self::Address) -> u64;
    /// Whether a packet may come from this address: whether it can be one host's (`ip_route_input_slow`
    /// in net/ipv4/route.c, RFC 4291). The kernel does not ask so of what goes past its stack.
    fn is_of_host(address: &Self::Address) -> bool;
    /// The address as the words of `struct bpf_fib_lookup`.
    fn to_words(address: &Self::Address) -> [u32; 4];
    /// Whether the bits of `address` under `mask` are those of `network`.
    #[inline(always)]
    fn is_in(address: &Self::Address, network: &Self::Address, mask: &Self::Address) -> bool {
        let address = Self::to_words(address);
        let network = Self::to_words(network);
        let mask = Self::to_words(mask);
        (address[0] & mask[0]) ^ network[0]
            | (address[1] & mask[1]) ^ network[1]
            | (address[2] & mask[2]) ^ network[2]
            | (address[3] & mask[3]) ^ network[3]
            == 0
    }
    /// Whether `left` comes before `right`, byte by byte, as user space sorts.
    #[inline(always)]
    fn is_before(left: &Self::Address, right: &Self::Address) -> bool {
        let (left, right) = (Self::halves_of(left), Self::halves_of(right));
        left[0] < right[0] || (left[0] == right[0] && left[1] < right[1])
    }
    /// The address as two numbers that are ordered as its bytes are.
    #[inline(always)]
    fn halves_of(address: &Self::Address) -> [u64; 2] {
        let [a, b, c, d] = Self::to_words(address).map(|word| u64::from(u32::from_be(word)));
        [a << 32 | b, c << 32 | d]
    }
    /// The inverse of `to_words`.
    fn from_words(words: [u32; 4]) -> Self::Address;
}

/// IPv4.
pub(crate) struct V4;
/// IPv6.
pub(crate) struct V6;

macro_rules! family_maps {
    ($address:ty, $($name:ident: $type:ident => $map:ident),+) => {
        $(#[inline(always)]
        fn $name() -> &'static $type<$address> {
            &maps::$map
        })+
    };
}

impl Family for V4 {
    type Address = Ipv4;
    const AF: u8 = 2;
    const NUMBER: u32 = 0;
    const HEADER_BYTES: usize = 20;
    const HAS_HEADER_CHECKSUM: bool = true;
    const SOURCE_OFFSET: usize = 12;
    const PROTOCOL_OFFSET: usize = 9;
    const TTL_OFFSET: usize = 8;
    const UNSEEN: u8 = DeviceFlags::UNSEEN_V4;

    family_maps!(Ipv4, addresses: Addresses => ADDRESSES_V4, frontends: Frontends => FRONTENDS_V4,
        endpoints: Endpoints => ENDPOINTS_V4, assured: Assured => FLOWS_V4,
        pending: Pending => PENDING_V4, closed: Closed => CLOSED_V4, ports: PortsTowards => PORTS_V4,
        halves: Halves => HALVES_V4, service_cidrs: Networks => SERVICE_CIDRS_V4,
        pod_cidrs: Networks => POD_CIDRS_V4, source_ranges: SourceRanges => SOURCE_RANGES_V4,
        affinity: Affinities => AFFINITY_V4, openings: Openings => OPENINGS_V4,
        fragments: Fragments => FRAGMENTS_V4);

    #[inline(always)]
    fn address_of(source: &Source) -> Ipv4 {
        source.v4
    }

    #[inline(always)]
    fn checksum_flags() -> u64 {
        0
    }

    #[inline(always)]
    fn sum(address: &Ipv4) -> u64 {
        u64::from(u32::from_ne_bytes(address.octets))
    }

    #[inline(always)]
    fn complement_sum(address: &Ipv4) -> u64 {
        u64::from(!u32::from_ne_bytes(address.octets))
    }

    /// Not of this network (0), loopback, multicast, or the limited broadcast.
    #[inline(always)]
    fn is_of_host(address: &Ipv4) -> bool {
        let [first, ..] = address.octets;
        first != 0
            && first != 127
            && first & 0xf0 != 224
            && u32::from_ne_bytes(address.octets) != u32::MAX
    }

    #[inline(always)]
    fn to_words(address: &Ipv4) -> [u32; 4] {
        [u32::from_ne_bytes(address.octets), 0, 0, 0]
    }

    #[inline(always)]
    fn from_words(words: [u32; 4]) -> Ipv4 {
        Ipv4::new(words[0].to_ne_bytes())
    }
}

impl Family for V6 {
    type Address = Ipv6;
    const AF: u8 = 10;
    const NUMBER: u32 = 1;
    const HEADER_BYTES: usize = 40;
    const HAS_HEADER_CHECKSUM: bool = false;
    const SOURCE_OFFSET: usize = 8;
    const PROTOCOL_OFFSET: usize = 6;
    const TTL_OFFSET: usize = 7;
    const UNSEEN: u8 = DeviceFlags::UNSEEN_V6;

    family_maps!(Ipv6, addresses: Addresses => ADDRESSES_V6, frontends: Frontends => FRONTENDS_V6,
        endpoints: Endpoints => ENDPOINTS_V6, assured: Assured => FLOWS_V6,
        pending: Pending => PENDING_V6, closed: Closed => CLOSED_V6, ports: PortsTowards => PORTS_V6,
        halves: Halves => HALVES_V6, service_cidrs: Networks => SERVICE_CIDRS_V6,
        pod_cidrs: Networks => POD_CIDRS_V6, source_ranges: SourceRanges => SOURCE_RANGES_V6,
        affinity: Affinities => AFFINITY_V6, openings: Openings => OPENINGS_V6,
        fragments: Fragments => FRAGMENTS_V6);

    #[inline(always)]
    fn address_of(source: &Source) -> Ipv6 {
        source.v6
    }

    #[inline(always)]
    fn checksum_flags() -> u64 {
        config::csum_ipv6_flag()
    }

    #[inline(always)]
    fn sum(address: &Ipv6) -> u64 {
        let [a, b, c, d] = Self::to_words(address);
        u64::from(a) + u64::from(b) + u64::from(c) + u64::from(d)
    }

    #[inline(always)]
    fn complement_sum(address: &Ipv6) -> u64 {
        let [a, b, c, d] = Self::to_words(address);
        u64::from(!a) + u64::from(!b) + u64::from(!c) + u64::from(!d)
    }

    /// Not multicast, unspecified or loopback.
    #[inline(always)]
    fn is_of_host(address: &Ipv6) -> bool {
        let [a, b, c, d] = Self::to_words(address).map(u32::from_be);
        a >> 24 != 0xff && (a | b | c != 0 || d > 1)
    }

    #[inline(always)]
    fn to_words(address: &Ipv6) -> [u32; 4] {
        address.words()
    }

    #[inline(always)]
    fn from_words(words: [u32; 4]) -> Ipv6 {
        let mut address = Ipv6::new([0; 16]);
        // SAFETY: `Ipv6` is 16 bytes with the alignment of u32.
        unsafe { (&raw mut address).cast::<[u32; 4]>().write(words) };
        address
    }
}
