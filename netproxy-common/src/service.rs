//! A service port as the datapath sees it: one word in `SERVICES` that names a [`Range`], whose
//! windows name endpoints in `ENDPOINTS_*`.
//!
//! A change writes new endpoints, then a new range, then publishes both with one 8-byte store of
//! [`Service`] (release). A reader therefore sees either the old state whole or the new one
//! whole: endpoints, policies, affinity and source ranges flip together.

use bytemuck::{Pod, Zeroable};

use crate::plain_data;
use crate::{Be16, Ipv4, Ipv6};

/// Number of segments in a range, in this order: local not hinted, local hinted, remote hinted,
/// other ready, local terminating, remote terminating, serving but never chosen.
///
/// Every set that the endpoint choice can ask for is one contiguous window over them.
pub const SEGMENTS: usize = 7;

/// Value of `SERVICES`, one aligned 8-byte word so that it is read and written whole.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Service {
    /// Index into `RANGES`; zero: this service id is not in use.
    pub range: u32,
    /// Raised by one with every published change.
    pub generation: u32,
}

/// A run of endpoints inside a range.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Window {
    /// First endpoint, relative to [`Range::base`].
    pub offset: u32,
    /// Number of endpoints; zero: the window's verdict applies.
    pub count: u32,
}

/// Value of `RANGES`: the header of one service port's endpoints.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Range {
    /// First slot in `ENDPOINTS_*`.
    pub base: u32,
    /// Id of the service that owns this range, for adoption after a restart.
    pub service: u32,
    /// Where each segment ends, relative to `base`; the last one is the length.
    pub segment_ends: [u32; SEGMENTS],
    /// For cluster IPs.
    pub internal: Window,
    /// For external destinations, cluster-wide.
    pub external_cluster: Window,
    /// For external destinations under `externalTrafficPolicy: Local`.
    pub external_local: Window,
    /// [`Verdict`]s of the three windows, in the order above, when they are empty.
    pub verdicts: [u8; 3],
    /// A combination of [`RangeFlags`].
    pub flags: u8,
    /// Seconds of client affinity; zero: none.
    pub affinity_s: u32,
    /// Number of the source-range set of the load-balancer VIPs; zero: none.
    pub source_ranges: u32,
    /// One more than the index into `MAGLEV` of the table that is over the endpoints that may be used cluster-wide;
    /// zero: none, and they are chosen at random.
    pub table: u32,
    /// Nothing.
    #[cfg(feature = "other-layout")]
    pub new: [u32; 2],
}

const _: () = assert!(size_of::<Range>() == 76 + crate::other_layout::MORE_BYTES);

/// Bits of [`Range::flags`].
#[derive(Clone, Copy, Debug)]
pub struct RangeFlags;

impl RangeFlags {
    /// `externalTrafficPolicy: Local` applies to this service port.
    pub const EXTERNAL_LOCAL: u8 = 1;
    /// The endpoints are in `ENDPOINTS_V6`.
    pub const IPV6: u8 = 1 << 1;
    /// Flows to cluster IPs hide the client's address.
    pub const MASQUERADE_INTERNAL: u8 = 1 << 2;
    /// Flows to external destinations hide the client's address, unless they are kept to local
    /// endpoints or come from a pod of this node under `externalTrafficPolicy: Local`.
    pub const MASQUERADE_EXTERNAL: u8 = 1 << 3;
    /// Clients of cluster IPs have endpoints by the table.
    pub const CONSISTENT_INTERNAL: u8 = 1 << 4;
    /// Clients of external destinations that may use any endpoint have them by the table.
    pub const CONSISTENT_EXTERNAL: u8 = 1 << 5;
}

/// What happens to a new flow whose window is empty.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No endpoint anywhere: answer with an ICMP port-unreachable.
    Reject = 0,
    /// Endpoints exist, but the traffic policy excludes them: drop silently.
    Drop = 1,
}

/// Value of `ENDPOINTS_*`: an endpoint by value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint<A> {
    /// Where the endpoint listens.
    pub address: A,
    /// A combination of [`EndpointFlags`].
    #[cfg(feature = "other-layout")]
    pub flags: u16,
    /// The numeric target port.
    pub port: Be16,
    /// A combination of [`EndpointFlags`].
    #[cfg(not(feature = "other-layout"))]
    pub flags: u16,
}

plain_data! { Endpoint<Ipv4> => 8, Endpoint<Ipv6> => 20 }

/// Bits of [`Endpoint::flags`].
#[derive(Clone, Copy, Debug)]
pub struct EndpointFlags;

impl EndpointFlags {
    /// The endpoint's `nodeName` is this node.
    pub const LOCAL: u16 = 1;
}

#[cfg(feature = "user")]
mod user {
    // SAFETY: `bytemuck::Pod` is derived, hence any bit pattern is valid without padding.
    unsafe impl aya::Pod for super::Service {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Range {}
}
