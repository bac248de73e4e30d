//! What user space decides at load time. The verifier sees frozen constants and removes the
//! branches that cannot be taken.

use aya_ebpf::Global;
use netproxy_common::SocketScope;

/// Declares what user space overrides by name.
///
/// A section of its own choice keeps a value apart from other constants: LLVM's `ConstantMerge` would let
/// an anonymous zero, such as a key that is looked up, live in a static whose zero user space replaces.
macro_rules! decided_at_load {
    ($($(#[$doc:meta])* static $name:ident: $integer:ty = $default:expr;)+) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            #[unsafe(link_section = ".rodata")]
            static $name: Global<$integer> = Global::new($default);
        )+
    };
}

decided_at_load! {
    /// Flags for `bpf_fib_lookup`: `BPF_FIB_LOOKUP_SKIP_NEIGH` (6.3) and `BPF_FIB_LOOKUP_SRC` (6.7)
    /// where the kernel has them.
    static FIB_FLAGS: u32 = 0;

    /// `BPF_F_IPV6` for `bpf_l4_csum_replace` where the kernel has it (6.16), else zero.
    static CSUM_IPV6_FLAG: u64 = 0;

    /// A `LocalClients`: how pods of this node are told from other clients.
    static LOCAL_CLIENTS: u32 = 0;

    /// The cookie of the host's network namespace (`SO_NETNS_COOKIE`).
    static HOST_NETNS: u64 = 0;

    /// A `SocketScope`: which processes are served at the socket.
    static SOCKET_SCOPE: u32 = 0;

    /// Whether pods may opt out of being served at the socket.
    static SOCKET_OPT_OUT: u32 = 0;

    /// Whether NodePorts answer processes of the host on 127.0.0.1 and `::1`.
    static LOOPBACK_NODE_PORTS: u32 = 0;

    /// Whether somebody ends connected UDP sockets whose endpoint is gone.
    static TERMINATES_UDP: u32 = 0;

    /// Whether somebody ends TCP connections whose endpoint is gone.
    static TERMINATES_TCP: u32 = 0;

    /// The source ports of whole flows: two runs of ports, walked as one cycle.
    static PORTS_LOW_FIRST: u32 = 10_240;
    /// Length of the first run.
    static PORTS_LOW_COUNT: u32 = 19_760;
    /// First port of the second run.
    static PORTS_HIGH_FIRST: u32 = 61_000;
    /// Length of the second run.
    static PORTS_HIGH_COUNT: u32 = 4_536;
    /// Step of the cycle, coprime to the number of ports.
    static PORTS_STRIDE: u32 = 7_919;

    /// How many flows of a family that no client has confirmed each CPU may have in `FLOWS_*`.
    static MOST_OPENING: u32 = 0;
    /// How many entries of `CLOSED_*` each CPU has.
    static CLOSED_PER_CPU: u32 = 0;

    /// Bytes of what a connected socket has in the map that is walked, of whatever layout.
    static OLD_CONNECTION_BYTES: u32 = 0;
    /// As `OLD_CONNECTION_BYTES`, an unconnected one.
    static OLD_TALK_BYTES: u32 = 0;
}

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
