//! What happens, told while somebody listens: records of `EVENTS`, and `LISTENER`, which says whether
//! anybody does.
//!
//! Addresses have their IPv6 form, as those of sockets have, so one record serves both families.

use bytemuck::{Pod, Zeroable};

use crate::{Be16, Ipv6};

/// Size of `EVENTS` in bytes, a power of two: room for about eight thousand records.
pub const EVENTS_BYTES: u32 = 1 << 20;

/// The only value of `LISTENER`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Listener {
    /// Until when somebody listens, in nanoseconds of `CLOCK_MONOTONIC`. Who does puts it off as long as he
    /// lives, so one who is killed is soon taken for absent.
    pub until_ns: u64,
    /// Which kinds are wanted: bit `1 << kind` for each [`EventKind`].
    pub kinds: u32,
    /// The process that listens, as it sees itself.
    pub process: u32,
}

/// A record of `EVENTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Who asked; unspecified: not known (a socket has no address of its own before it is connected).
    pub client: Ipv6,
    /// What was asked for.
    pub frontend: Ipv6,
    /// Who answers; unspecified: nobody, or not known.
    pub endpoint: Ipv6,
    /// Who the endpoint sees as client; unspecified: not known.
    pub source: Ipv6,
    /// The client's port.
    pub client_port: Be16,
    /// The frontend's port.
    pub frontend_port: Be16,
    /// The endpoint's port.
    pub endpoint_port: Be16,
    /// The source's port.
    pub source_port: Be16,
    /// The service's id, or [`Event::NO_SERVICE`].
    pub service: u32,
    /// The device at whose hook the packet was; zero: it was a socket.
    pub ifindex: u32,
    /// The process whose socket it was, by its number in the first pid namespace; zero: it was a packet.
    pub process: u32,
    /// An [`EventKind`].
    pub kind: u8,
    /// An [`EventHook`].
    pub hook: u8,
    /// The IP protocol number.
    pub protocol: u8,
    /// A [`FlowKind`](crate::FlowKind) of a flow of packets, else meaningless.
    pub flow_kind: u8,
    /// Why nobody was served: a [`Counter`](crate::Counter); of a new flow meaningless.
    pub reason: u8,
    /// Always zero.
    pub pad: [u8; 7],
    /// The name of the process, ended by a zero.
    pub command: [u8; 16],
}

/// What happened.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A flow was opened, or a socket sent straight to an endpoint.
    NewFlow = 0,
    /// A packet was dropped.
    Drop = 1,
    /// Nobody serves it, and the sender, or the process, was told.
    Refused = 2,
}

/// Where it happened.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventHook {
    /// At a device: there was a packet.
    Packet = 0,
    /// At a socket: there was none yet.
    Socket = 1,
}

impl Event {
    /// No service is known.
    pub const NO_SERVICE: u32 = u32::MAX;
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::NewFlow, Self::Drop, Self::Refused];

    /// As it stands in `Listener::kinds`.
    #[must_use]
    #[inline(always)]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// The kind of a record.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl EventHook {
    /// The hook of a record.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Packet),
            1 => Some(Self::Socket),
            _ => None,
        }
    }
}

const _: () = assert!(size_of::<Listener>() == 16);
const _: () = assert!(size_of::<Event>() == 120);

#[cfg(feature = "user")]
// SAFETY: `bytemuck::Pod` is derived, hence any bit pattern is valid and there is no padding.
unsafe impl aya::Pod for Listener {}
