//! Sockets of the node itself, which a source port of ours must not be mistaken for.

use aya_ebpf::bindings::{__sk_buff, bpf_sock_tuple};
use aya_ebpf::helpers::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp};
use netproxy_common::FlowKey;
use netproxy_common::protocol::TCP;

use crate::family::{Family, V4};

/// `BPF_F_CURRENT_NETNS` of uapi/linux/bpf.h: the namespace of the packet's device.
const CURRENT_NETNS: u64 = u64::MAX;
/// Sizes of `struct bpf_sock_tuple`, which tell the families apart.
const V4_BYTES: u32 = 12;
const V6_BYTES: u32 = 36;

/// Whether the stack would hand a packet with this tuple to a socket: to the one at the other end of this
/// very connection, or to one that listens on, or is bound to, its destination port.
#[inline(never)]
pub(crate) fn takes<F: Family>(skb: *mut __sk_buff, packet: &FlowKey<F::Address>) -> bool {
    let ports = [packet.source_port.bytes, packet.destination_port.bytes];
    let ports = u32::from_ne_bytes([ports[0][0], ports[0][1], ports[1][0], ports[1][1]]);
    let (source, destination) = (
        F::to_words(&packet.source),
        F::to_words(&packet.destination),
    );
    // Addresses, then ports (`struct bpf_sock_tuple`).
    let is_v4 = F::AF == <V4 as Family>::AF;
    let mut tuple = if is_v4 {
        [source[0], destination[0], ports, 0, 0, 0, 0, 0, 0]
    } else {
        let ([a, b, c, d], [e, f, g, h]) = (source, destination);
        [a, b, c, d, e, f, g, h, ports]
    };
    let bytes = if is_v4 { V4_BYTES } else { V6_BYTES };
    let tuple: *mut bpf_sock_tuple = (&raw mut tuple).cast();
    // SAFETY: the context is the hook's, and the tuple as long as is said; the reference that is
    // returned is given back.
    unsafe {
        let socket = if packet.protocol == TCP {
            bpf_skc_lookup_tcp(skb.cast(), tuple, bytes, CURRENT_NETNS, 0)
        } else {
            bpf_sk_lookup_udp(skb.cast(), tuple, bytes, CURRENT_NETNS, 0)
        };
        if socket.is_null() {
            return false;
        }
        bpf_sk_release(socket.cast());
    }
    true
}
