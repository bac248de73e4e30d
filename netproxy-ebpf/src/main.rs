//! The programs: one entry point per hook and link layer, each a single call into its hook.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    internal_features,
    reason = "the BPF target has no other atomic addition"
)]

mod affinity;
mod checksum;
mod choice;
mod clock;
mod config;
mod count;
mod crc32c;
mod device;
mod drops;
mod events;
mod family;
mod flow;
mod fragment;
mod handover;
mod hooks;
mod host_socket;
mod icmp;
mod maps;
mod nat;
mod networks;
mod packet;
mod pause;
mod pod;
mod ports;
mod prefixes;
mod route;
mod separate;
mod service;
mod socket;
mod traffic;
mod usable;

use aya_ebpf::macros::{cgroup_sock_addr, classifier, xdp};
use aya_ebpf::programs::{SockAddrContext, TcContext, XdpContext};

use netproxy_common::{Connection, Talk};

use crate::hooks::stale::Visit;
use crate::packet::{ETHERNET, NO_LINK_LAYER};

/// Packets entering the node from a device with Ethernet headers.
#[classifier]
fn tc_ingress(context: TcContext) -> i32 {
    hooks::tc::ingress::<ETHERNET>(context)
}

/// Packets entering the node from a device without link-layer headers (wireguard, ipip, tun).
#[classifier]
fn tc_ingress_l3(context: TcContext) -> i32 {
    hooks::tc::ingress::<NO_LINK_LAYER>(context)
}

/// Packets leaving the node through a device with Ethernet headers.
#[classifier]
fn tc_egress(context: TcContext) -> i32 {
    hooks::tc::egress::<ETHERNET>(context)
}

/// Packets leaving the node through a device without link-layer headers.
#[classifier]
fn tc_egress_l3(context: TcContext) -> i32 {
    hooks::tc::egress::<NO_LINK_LAYER>(context)
}

/// Frames that a driver has received, before anything else of the kernel sees them.
#[xdp(frags)]
fn xdp_ingress(context: XdpContext) -> u32 {
    hooks::xdp::ingress(context)
}

/// A socket that was sent to an endpoint, one of all there are.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn stale_sockets(context: *const Visit<Connection>) -> i32 {
    hooks::stale::visit(context);
    0
}

/// A connected socket, of whatever layout its memory is.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn tell_connections(context: *const Visit<Connection>) -> i32 {
    hooks::memory::tell(context, config::old_connection_bytes());
    0
}

/// An unconnected socket, of whatever layout its memory is.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn tell_talks(context: *const Visit<Talk>) -> i32 {
    hooks::memory::tell(context, config::old_talk_bytes());
    0
}

/// A connected socket, which is given what was told of it.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn give_connections(context: *const Visit<Connection>) -> i32 {
    hooks::memory::give(context, &maps::TOLD_CONNECTIONS, &maps::SOCKETS);
    0
}

/// An unconnected socket, which is given what was told of it.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn give_talks(context: *const Visit<Talk>) -> i32 {
    hooks::memory::give(context, &maps::TOLD_TALKS, &maps::TALKS);
    0
}

/// The kernel's GPL-only helpers need it.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
/// A process connects a socket to an IPv4 address.
#[cgroup_sock_addr(connect4)]
fn connect4(context: SockAddrContext) -> i32 {
    hooks::socket::connect4(&context)
}

/// A process connects a socket to an IPv6 address, which may be a mapped one.
#[cgroup_sock_addr(connect6)]
fn connect6(context: SockAddrContext) -> i32 {
    hooks::socket::connect6(&context)
}

/// A process sends a datagram to an IPv4 address from an unconnected socket.
#[cgroup_sock_addr(sendmsg4)]
fn sendmsg4(context: SockAddrContext) -> i32 {
    hooks::socket::sendmsg4(&context)
}

/// A process sends a datagram to an IPv6 address from an unconnected socket.
#[cgroup_sock_addr(sendmsg6)]
fn sendmsg6(context: SockAddrContext) -> i32 {
    hooks::socket::sendmsg6(&context)
}

/// A process is told where a datagram of IPv4 came from.
#[cgroup_sock_addr(recvmsg4)]
fn recvmsg4(context: SockAddrContext) -> i32 {
    hooks::socket::recvmsg4(&context)
}

/// A process is told where a datagram came from, on a socket of IPv6.
#[cgroup_sock_addr(recvmsg6)]
fn recvmsg6(context: SockAddrContext) -> i32 {
    hooks::socket::recvmsg6(&context)
}

/// A process asks for the peer of an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
fn getpeername4(context: SockAddrContext) -> i32 {
    hooks::socket::getpeername4(&context)
}

/// A process asks for the peer of an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
fn getpeername6(context: SockAddrContext) -> i32 {
    hooks::socket::getpeername6(&context)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: a program with a reachable panic does not pass the verifier.
    loop {}
}
