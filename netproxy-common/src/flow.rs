//! Flows: what happens to every packet of a connection once its first packet has been judged.
//!
//! A flow at rest is two entries: one under the tuple the client sends (*forward*), one under the
//! tuple in which the endpoint's answer is seen (*reply*). Each holds the complete translation,
//! addresses and not ids, so that no change to services can break it. Two tiers: `FLOWS_*` (HASH), and
//! `PENDING_*` (LRU) for what a crowd keeps out of it.

use crate::other_layout::MORE_BYTES;
use crate::plain_data;
use crate::{Be16, Ipv4, Ipv6, protocol};

/// Key of `FLOWS_*` and `PENDING_*`: a packet's tuple as it is seen at the hook.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey<A> {
    /// Source address.
    #[cfg(not(feature = "other-layout"))]
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// Source address.
    #[cfg(feature = "other-layout")]
    pub source: A,
    /// Source port.
    pub source_port: Be16,
    /// Destination port.
    pub destination_port: Be16,
    /// IP protocol number.
    pub protocol: u8,
    /// Always zero.
    pub pad: [u8; 3],
}

/// Value of `FLOWS_*` and `PENDING_*`: the tuple that the packet leaves with, and the state.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<A> {
    /// Source address after translation.
    pub source: A,
    /// Destination address after translation.
    pub destination: A,
    /// Source port after translation.
    pub source_port: Be16,
    /// Destination port after translation.
    pub destination_port: Be16,
    /// A [`FlowKind`].
    pub kind: u8,
    /// A combination of [`FlowFlags`].
    pub flags: u8,
    /// A [`FlowState`].
    pub state: u8,
    /// Always zero.
    pub pad: [u8; 1 + MORE_BYTES],
    /// The service whose frontend the client asked for.
    pub service: u32,
    /// The service's generation when the endpoint was last found usable.
    pub generation: u32,
    /// When this half counts as gone, in seconds of `CLOCK_MONOTONIC`; a pair lives as long as
    /// its longer half.
    pub deadline_s: u32,
    /// Device at which the client's packets are translated (for host flows: where the kernel
    /// sent them, and where it expects the answers).
    pub client_ifindex: u32,
}

impl<A: Copy> FlowKey<A> {
    /// Turns the key of the half `flow` into that of the other half, in place; see
    /// [`Flow::partner_key`].
    #[inline(always)]
    pub const fn turn_to_partner(&mut self, flow: &Flow<A>) {
        self.source = flow.destination;
        self.destination = flow.source;
        self.source_port = flow.destination_port;
        self.destination_port = flow.source_port;
    }

    /// The tuple of a packet that answers one with this tuple.
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
            pad: [0; 3],
        }
    }
}

impl<A: Copy> Flow<A> {
    /// The tuple that packets of this half leave with.
    #[must_use]
    pub const fn translated(&self, protocol: u8) -> FlowKey<A> {
        FlowKey {
            source: self.source,
            destination: self.destination,
            source_port: self.source_port,
            destination_port: self.destination_port,
            protocol,
            pad: [0; 3],
        }
    }

    /// The key of the other half, given this half's key.
    #[must_use]
    pub const fn partner_key(&self, key: &FlowKey<A>) -> FlowKey<A> {
        self.translated(key.protocol).reversed()
    }

    /// Turns this half, given its key, into the other one, in place: what turns the endpoint's answer
    /// back, or the client's packets forward. Nothing has been seen of it yet.
    #[inline(always)]
    pub const fn turn_to_partner(&mut self, key: &FlowKey<A>) {
        self.source = key.destination;
        self.destination = key.source;
        self.source_port = key.destination_port;
        self.destination_port = key.source_port;
        self.flags = (self.flags & (FlowFlags::REPLY | FlowFlags::SWITCHED)) ^ FlowFlags::REPLY;
    }

    /// Whether this half belongs to the one under `key`, if that names this one: each translates into what
    /// the other answers.
    #[inline(always)]
    pub fn is_partner_of(&self, key: &FlowKey<A>) -> bool
    where
        A: PartialEq,
    {
        self.source_port == key.destination_port
            && self.destination_port == key.source_port
            && self.source == key.destination
            && self.destination == key.source
    }

    /// Whether any of `flags` is set.
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }
}

plain_data! {
    FlowKey<Ipv4> => 16, FlowKey<Ipv6> => 40,
    Flow<Ipv4> => 32 + MORE_BYTES, Flow<Ipv6> => 56 + MORE_BYTES,
}

/// How a flow is translated; see "the rule of translation" in docs/architecture.md.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowKind {
    /// Destination only: forward at the client's ingress, undone at the client's egress.
    Edge = 0,
    /// Source and destination at ingress, redirected past the stack both ways.
    Whole = 1,
    /// The client is a process of this node: forward at an egress hook, redirected; the answer is
    /// undone at ingress and handed to the stack.
    Host = 2,
    /// Not translated here: another proxy on this node began it, and netfilter's connection tracking
    /// goes on with it. A third entry under the forward key without a source address shows it to
    /// sockets, which do not know theirs.
    Foreign = 3,
}

impl FlowKind {
    /// The kind whose number is `value`, if any.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Edge),
            1 => Some(Self::Whole),
            2 => Some(Self::Host),
            3 => Some(Self::Foreign),
            _ => None,
        }
    }
}

/// Bits of [`Flow::flags`].
#[derive(Clone, Copy, Debug)]
pub struct FlowFlags;

impl FlowFlags {
    /// This half is the endpoint's answer.
    pub const REPLY: u8 = 1;
    /// A packet has matched this half (set on the reply half by the endpoint's first answer).
    pub const SEEN: u8 = 1 << 1;
    /// This half has carried a FIN or RST (of SCTP, an ABORT or SHUTDOWN COMPLETE).
    pub const CLOSED: u8 = 1 << 2;
    /// A bridge switches the endpoint's answers past netfilter: the client's packets go past the
    /// stack as well. Set on both halves of an edge flow by the endpoint's first answer.
    pub const SWITCHED: u8 = 1 << 3;
}

/// Where a flow is in its life; decides how long it may stay silent.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowState {
    /// The client has not yet answered the endpoint.
    Opening = 0,
    /// Assured.
    Established = 1,
    /// Both sides have sent FIN, or one has sent RST (of SCTP, ABORT or SHUTDOWN COMPLETE).
    Closing = 2,
}

impl FlowState {
    /// The state whose number is `value`, if any.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Opening),
            1 => Some(Self::Established),
            2 => Some(Self::Closing),
            _ => None,
        }
    }

    /// How long a half in this state stays valid without a packet, in seconds.
    ///
    /// TCP: as kube-proxy sets conntrack up (`nf_conntrack_tcp_timeout_established` 24 h,
    /// `SYN_SENT` 120 s, `TIME_WAIT` 120 s). SCTP: `sctp_timeouts[SCTP_CONNTRACK_ESTABLISHED]` of
    /// `net/netfilter/nf_conntrack_proto_sctp.c`, 210 s, by when a silent peer's heartbeats have failed
    /// (`hb.interval` 30 s · `path.max.retrans` 5 + `rto.max` 60 s). Others, and SCTP else:
    /// `nf_conntrack_udp_timeout` 30 s and `udp_timeout_stream` 120 s.
    #[must_use]
    pub const fn lifetime_s(self, protocol: u8) -> u32 {
        match (self, protocol) {
            (Self::Established, protocol::TCP) => 86_400,
            (Self::Established, protocol::SCTP) => 210,
            (Self::Established, _) | (Self::Opening | Self::Closing, protocol::TCP) => 120,
            (Self::Opening | Self::Closing, _) => 30,
        }
    }
}

#[cfg(test)]
mod tests;
