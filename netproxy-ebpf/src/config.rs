//! What user space decides at load time. The verifier sees frozen constants and removes the
//! branches that cannot be taken.

use aya_ebpf::Global;
use netproxy_common::SocketScope;

/// Flags for `bpf_fib_lookup`: `BPF_FIB_LOOKUP_SKIP_NEIGH` (6.3) and `BPF_FIB_LOOKUP_SRC` (6.7)
/// where the kernel has them.
#[unsafe(no_mangle)]
static FIB_FLAGS: Global<u32> = Global::new(0);

/// `BPF_F_IPV6` for `bpf_l4_csum_replace` where the kernel has it (6.16), else zero.
#[unsafe(no_mangle)]
static CSUM_IPV6_FLAG: Global<u64> = Global::new(0);

/// A `LocalClients`: how pods of this node are told from other clients.
#[unsafe(no_mangle)]
static LOCAL_CLIENTS: Global<u32> = Global::new(0);

/// The cookie of the host's network namespace (`SO_NETNS_COOKIE`).
#[unsafe(no_mangle)]
static HOST_NETNS: Global<u64> = Global::new(0);

/// A `SocketScope`: which processes are served at the socket.
#[unsafe(no_mangle)]
static SOCKET_SCOPE: Global<u32> = Global::new(0);

/// Whether pods may opt out of being served at the socket.
#[unsafe(no_mangle)]
static SOCKET_OPT_OUT: Global<u32> = Global::new(0);

/// Whether NodePorts answer processes of the host on 127.0.0.1 and `::1`.
#[unsafe(no_mangle)]
static LOOPBACK_NODE_PORTS: Global<u32> = Global::new(0);

/// Whether somebody ends connected UDP sockets whose endpoint is gone.
#[unsafe(no_mangle)]
static TERMINATES_UDP: Global<u32> = Global::new(0);

/// Whether somebody ends TCP connections whose endpoint is gone.
#[unsafe(no_mangle)]
static TERMINATES_TCP: Global<u32> = Global::new(0);

/// The source ports of whole flows: two runs of ports, walked as one cycle.
#[unsafe(no_mangle)]
static PORTS_LOW_FIRST: Global<u32> = Global::new(10_240);
/// Length of the first run.
#[unsafe(no_mangle)]
static PORTS_LOW_COUNT: Global<u32> = Global::new(19_760);
/// First port of the second run.
#[unsafe(no_mangle)]
static PORTS_HIGH_FIRST: Global<u32> = Global::new(61_000);
/// Length of the second run.
#[unsafe(no_mangle)]
static PORTS_HIGH_COUNT: Global<u32> = Global::new(4_536);
/// Step of the cycle, coprime to the number of ports.
#[unsafe(no_mangle)]
static PORTS_STRIDE: Global<u32> = Global::new(7_919);

/// How many flows of a family that no client has confirmed each CPU may have in `FLOWS_*`.
#[unsafe(no_mangle)]
static MOST_OPENING: Global<u32> = Global::new(0);
/// How many entries of `CLOSED_*` each CPU has.
#[unsafe(no_mangle)]
static CLOSED_PER_CPU: Global<u32> = Global::new(0);

/// Bytes of what a connected socket has in the map that is walked, of whatever layout.
#[unsafe(no_mangle)]
static OLD_CONNECTION_BYTES: Global<u32> = Global::new(0);
/// As `OLD_CONNECTION_BYTES`, an unconnected one.
#[unsafe(no_mangle)]
static OLD_TALK_BYTES: Global<u32> = Global::new(0);

#[inline(always)]
pub(crate) fn old_connection_bytes() -> u32 {
    OLD_CONNECTION_BYTES.load()
}

#[inline(always)]
pub(crate) fn old_talk_bytes() -> u32 {
    OLD_TALK_BYTES.load()
}

#[inline(always)]
pub(crate) fn most_opening() -> u32 {
    MOST_OPENING.load()
}

#[inline(always)]
pub(crate) fn closed_per_cpu() -> u32 {
    CLOSED_PER_CPU.load()
}

#[inline(always)]
pub(crate) fn fib_flags() -> u32 {
    FIB_FLAGS.load()
}

#[inline(always)]
pub(crate) fn csum_ipv6_flag() -> u64 {
    CSUM_IPV6_FLAG.load()
}

#[inline(always)]
pub(crate) fn local_clients() -> u32 {
    LOCAL_CLIENTS.load()
}

#[inline(always)]
pub(crate) fn host_netns() -> u64 {
    HOST_NETNS.load()
}

#[inline(always)]
pub(crate) fn is_host_only() -> bool {
    SOCKET_SCOPE.load() == SocketScope::HostOnly as u32
}

#[inline(always)]
pub(crate) fn has_opt_out() -> bool {
    SOCKET_OPT_OUT.load() != 0
}

#[inline(always)]
pub(crate) fn has_loopback_node_ports() -> bool {
    LOOPBACK_NODE_PORTS.load() != 0
}

#[inline(always)]
pub(crate) fn terminates_udp() -> bool {
    TERMINATES_UDP.load() != 0
}

#[inline(always)]
pub(crate) fn terminates_tcp() -> bool {
    TERMINATES_TCP.load() != 0
}

/// Number of source ports.
#[inline(always)]
pub(crate) fn port_count() -> u32 {
    PORTS_LOW_COUNT.load() + PORTS_HIGH_COUNT.load()
}

/// The port at `position` of the cycle; every port comes once in `port_count` positions.
#[inline(always)]
pub(crate) fn port_at(position: u32) -> u16 {
    let count = u64::from(port_count().max(1));
    let index = (u64::from(position) * u64::from(PORTS_STRIDE.load()) % count) as u32;
    let low = PORTS_LOW_COUNT.load();
    let port = if index < low {
        PORTS_LOW_FIRST.load() + index
    } else {
        PORTS_HIGH_FIRST.load() + (index - low)
    };
    port as u16
}
