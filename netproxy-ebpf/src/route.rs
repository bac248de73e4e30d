//! Routes: where a translated packet leaves, and with which source.

use aya_ebpf::bindings::{
    BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS,
    BPF_FIB_LOOKUP_SRC, bpf_fib_lookup, bpf_redir_neigh,
};
use aya_ebpf::helpers::{bpf_fib_lookup as fib_lookup, bpf_redirect_neigh};
use netproxy_common::Counter;
use netproxy_common::address::Address as _;
use netproxy_common::source::ANY_DEVICE;

use crate::config;
use crate::family::Family;
use crate::maps::SOURCES;
use crate::packet::{Frame, Packet};

/// The way to a destination.
pub(crate) struct Route<F: Family> {
    /// The device the packet leaves by.
    pub(crate) ifindex: u32,
    /// The source the kernel would use; unspecified where it cannot tell.
    pub(crate) source: F::Address,
    /// The next hop, in its own family (IPv4 may go by an IPv6 gateway).
    next_hop: [u32; 4],
    next_hop_af: u8,
    /// How many bytes it carries at most, where that is less than was asked for: then nothing else is
    /// known of it. Otherwise zero.
    pub(crate) too_narrow: u16,
}

/// The fewest bytes that can be asked for: without any, the kernel looks at the packet itself, and not at
/// its segments (`bpf_skb_fib_lookup` in net/core/filter.c).
pub(crate) const ANY_SIZE: u16 = 1;

/// The route to `destination` for packets of `bytes` bytes (from the IP header on) that came in at the
/// hook's device. As for those that the kernel forwards, what it has learnt of the MTU of the path counts
/// (`ip_mtu_from_fib_result`, `ip6_mtu_from_fib6`).
///
/// # Errors
/// [`Counter::NoRoute`]: none, or one that this node does not forward by.
#[inline(always)]
pub(crate) fn find<F: Family, P: Packet>(
    packet: P,
    source: &F::Address,
    destination: &F::Address,
    bytes: u16,
) -> Result<Route<F>, Counter> {
    let mut route = Route {
        ifindex: 0,
        source: F::Address::UNSPECIFIED,
        next_hop: [0; 4],
        next_hop_af: 0,
        too_narrow: 0,
    };
    look_up(packet, source, destination, bytes, &mut route)?;
    Ok(route)
}

/// A function of its own for its stack; see `service::read` for why the answer goes by reference.
#[inline(never)]
fn look_up<F: Family, P: Packet>(
    packet: P,
    source: &F::Address,
    destination: &F::Address,
    bytes: u16,
    route: &mut Route<F>,
) -> Result<(), Counter> {
    // SAFETY: all zeros is a valid request.
    let mut request: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    let flags = config::fib_flags();
    let answer = ask::<F, P>(packet, source, destination, bytes, flags, &mut request);
    if answer == i64::from(BPF_FIB_LKUP_RET_FRAG_NEEDED) {
        // SAFETY: both are the same integer.
        route.too_narrow = unsafe { request.__bindgen_anon_1.mtu_result };
        return Ok(());
    }
    // Without BPF_FIB_LOOKUP_SKIP_NEIGH an unresolved neighbour is no obstacle either:
    // bpf_redirect_neigh resolves it.
    if answer != i64::from(BPF_FIB_LKUP_RET_SUCCESS)
        && answer != i64::from(BPF_FIB_LKUP_RET_NO_NEIGH)
    {
        return Err(Counter::NoRoute);
    }
    route.source = if flags & BPF_FIB_LOOKUP_SRC != 0 {
        // SAFETY: every bit pattern is an address.
        F::from_words(unsafe { request.__bindgen_anon_3.ipv6_src })
    } else {
        source_on::<F>(request.ifindex)
    };
    route.ifindex = request.ifindex;
    // SAFETY: every bit pattern is an address.
    route.next_hop = unsafe { request.__bindgen_anon_4.ipv6_dst };
    route.next_hop_af = request.family;
    Ok(())
}

/// The address to send from on this device; unspecified: there is none of this family.
#[inline(always)]
fn source_on<F: Family>(ifindex: u32) -> F::Address {
    // SAFETY: the entry is copied at once; user space replaces entries, it does not change them.
    let source = unsafe { SOURCES.get(&ifindex).or_else(|| SOURCES.get(&ANY_DEVICE)) };
    source.map_or(F::Address::UNSPECIFIED, F::address_of)
}

/// The way to a destination whose next hop is known.
pub(crate) struct Way {
    /// The device the frame leaves by.
    pub(crate) ifindex: u32,
    /// The next hop's address, and the device's own.
    pub(crate) macs: [[u8; 6]; 2],
}

/// As `find`, for a frame that is sent as it is: there must be a neighbour who is known, and room for all of it.
/// None: the kernel has to look at it.
#[inline(always)]
pub(crate) fn to_neighbour<F: Family>(
    frame: Frame,
    source: &F::Address,
    destination: &F::Address,
    bytes: u16,
) -> Option<Way> {
    let mut way = Way {
        ifindex: 0,
        macs: [[0; 6]; 2],
    };
    ask_for_neighbour::<F>(frame, source, destination, bytes, &mut way).then_some(way)
}

/// A function of its own for its stack, as `look_up`.
#[inline(never)]
fn ask_for_neighbour<F: Family>(
    frame: Frame,
    source: &F::Address,
    destination: &F::Address,
    bytes: u16,
    way: &mut Way,
) -> bool {
    // SAFETY: all zeros is a valid request.
    let mut request: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    let answer = ask::<F, _>(frame, source, destination, bytes, 0, &mut request);
    way.ifindex = request.ifindex;
    way.macs = [request.dmac, request.smac];
    answer == i64::from(BPF_FIB_LKUP_RET_SUCCESS)
}

/// Asks the kernel's routing tables; `request` is all zeros.
#[inline(always)]
fn ask<F: Family, P: Packet>(
    packet: P,
    source: &F::Address,
    destination: &F::Address,
    bytes: u16,
    flags: u32,
    request: &mut bpf_fib_lookup,
) -> i64 {
    request.family = F::AF;
    request.__bindgen_anon_1.tot_len = bytes;
    request.ifindex = packet.ifindex();
    request.__bindgen_anon_3.ipv6_src = F::to_words(source);
    request.__bindgen_anon_4.ipv6_dst = F::to_words(destination);
    // SAFETY: the context is the hook's own, the request lives on the stack.
    unsafe {
        fib_lookup(
            packet.context(),
            &raw mut *request,
            size_of::<bpf_fib_lookup>() as i32,
            flags,
        )
    }
}

impl<F: Family> Route<F> {
    /// Sends the packet, which is translated, this way once the program returns; the neighbour is
    /// resolved by the kernel. Yields the action to return.
    #[inline(always)]
    pub(crate) fn redirect(&self, is_from_host: bool) -> u32 {
        if is_from_host {
            // It has a route already, to the frontend. A packet that waits for its neighbour is sent
            // by the route it has (neigh_update in net/core/neighbour.c), which the kernel replaces
            // where it is not given the next hop (__bpf_redirect_neigh_v4 in net/core/filter.c).
            // SAFETY: no parameters.
            return unsafe { bpf_redirect_neigh(self.ifindex, core::ptr::null_mut(), 0, 0) as u32 };
        }
        let mut next_hop = bpf_redir_neigh {
            nh_family: u32::from(self.next_hop_af),
            // SAFETY: all zeros is a valid address.
            __bindgen_anon_1: unsafe { core::mem::zeroed() },
        };
        next_hop.__bindgen_anon_1.ipv6_nh = self.next_hop;
        // SAFETY: the parameters live on the stack.
        unsafe {
            bpf_redirect_neigh(
                self.ifindex,
                &raw mut next_hop,
                size_of::<bpf_redir_neigh>() as i32,
                0,
            ) as u32
        }
    }
}
