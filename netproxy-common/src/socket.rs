//! What a translated socket asked for and got, kept in its own storage (`SOCKETS`, `TALKS`) for as
//! long as it lives.
//!
//! Addresses are kept in their IPv6 form, IPv4 ones mapped (RFC 4291, section 2.5.5.2): a socket of
//! IPv6 may reach either family, and one comparison serves both.

use crate::other_layout::{IS_OTHER, MORE_BYTES};
use crate::plain_data;
use crate::{Be16, Ipv6};

/// How many pairs an unconnected datagram socket remembers. With one more, all stay on the wire.
pub const PAIRS: usize = if IS_OTHER { 9 } else { 8 };

/// A frontend that a socket asked for, and the endpoint that it reaches instead.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The endpoint's address; unspecified: no pair.
    pub endpoint: Ipv6,
    /// The frontend's address.
    pub frontend: Ipv6,
    /// The endpoint's port.
    pub endpoint_port: Be16,
    /// The frontend's port.
    pub frontend_port: Be16,
    /// The service whose frontend it is.
    pub service: u32,
    /// The service's generation when the endpoint was last found usable.
    pub generation: u32,
}

/// Value of `SOCKETS`: what a connected socket asked for and got.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The two ends.
    pub pair: Pair,
    /// The socket's protocol.
    pub protocol: u8,
    /// Unused, zero.
    pub pad: [u8; 3 + MORE_BYTES],
    /// The cookie of the network namespace that it was made in (`SO_NETNS_COOKIE`).
    pub netns: u64,
}

/// What the iterator over `SOCKETS` tells of a socket whose endpoint no longer serves.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleSocket {
    /// What it is connected to; `pair.service` is the service whose frontend it asked for by now.
    pub connection: Connection,
    /// The socket's cookie (`SO_COOKIE`).
    pub cookie: u64,
}

/// Value of `TALKS`: the pairs of an unconnected datagram socket. No two have the same endpoint, and
/// no two the same frontend.
///
/// A frontend that is left on the wire may be given the endpoint of a pair there, and then the endpoint's
/// answers to either come in one tuple. So a socket of which one frontend is left has all of them left
/// from then on; the pairs name what is still on its way.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talk {
    /// In no order; some may be none.
    pub pairs: [Pair; PAIRS],
    /// Whether a frontend was left on the wire: not zero.
    pub is_left: u32,
}

/// How many levels below the root of the cgroup v2 hierarchy the cgroup of a pod may be. The
/// kubelet's own are at the second or third; clusters in containers have theirs deeper.
pub const CGROUP_LEVELS: i32 = 16;

plain_data! {
   Pair => 44,
   Connection => 56 + MORE_BYTES,
   StaleSocket => 64 + MORE_BYTES,
   Talk => PAIRS * 44 + 4,
}

/// Which processes are served at the socket.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketScope {
    /// Every one below the cgroup.
    #[default]
    Everyone = 0,
    /// Those in the host's network namespace.
    HostOnly = 1,
}

impl Connection {
    /// None.
    pub const NONE: Self = Self {
        pair: Pair::NONE,
        protocol: 0,
        pad: [0; _],
        netns: 0,
    };
}

impl Pair {
    /// None.
    pub const NONE: Self = Self {
        endpoint: Ipv6::new([0; 16]),
        frontend: Ipv6::new([0; 16]),
        endpoint_port: Be16::ZERO,
        frontend_port: Be16::ZERO,
        service: 0,
        generation: 0,
    };
}
