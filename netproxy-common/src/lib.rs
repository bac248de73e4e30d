//! What the kernel programs and user space share: the keys, values and constants of every map.
//!
//! Everything here is `#[repr(C)]` without implicit padding (`bytemuck::Pod` checks that at
//! compile time), so a value written by one side is read bit for bit by the other. Addresses and
//! ports are kept in network byte order, exactly as they stand in a packet; every other integer
//! is in host byte order.
//!
//! Layouts may change with any release. An agent that finds maps of another layout, newer or older, makes new ones and
//! carries each entry over, field by field by name. Hence, for every key and value:
//! - a new field's zero means what held before there was the field;
//! - a field whose meaning changes gets a new name;
//! - a field that is removed is lost, and zero to an older release that has it.
#![cfg_attr(not(test), no_std)]
#![expect(
    clippy::inline_always,
    reason = "in programs, a call that is not inlined costs stack that is not there"
)]

pub mod address;
pub mod affinity;
pub mod counter;
pub mod crc32c;
pub mod device;
pub mod drop;
pub mod event;
pub mod flow;
pub mod fragment;
pub mod frontend;
pub mod handover;
pub mod maglev;
pub mod name;
pub mod network;
pub mod other_layout;
pub mod port;
pub mod prefix;
pub mod service;
pub mod socket;
pub mod source;
pub mod source_range;
pub mod traffic;
pub mod turnover;

pub use address::{AddressFlags, Be16, Ipv4, Ipv6};
pub use affinity::{Affinity, AffinityKey};
pub use counter::Counter;
pub use device::{Device, DeviceFlags, DeviceKind};
pub use drop::DropKey;
pub use event::{Event, EventHook, EventKind, Listener};
pub use flow::{Flow, FlowKey, FlowKind, FlowState};
pub use fragment::{Fragment, FragmentKey};
pub use frontend::{Frontend, FrontendKey, FrontendKind};
pub use name::Name;
pub use network::{LocalClients, Network};
pub use port::Ports;
pub use prefix::Prefixes;
pub use service::{Endpoint, EndpointFlags, Range, RangeFlags, Service, Verdict, Window};
pub use socket::{CGROUP_LEVELS, Connection, Pair, SocketScope, StaleSocket, Talk};
pub use source::Source;
pub use source_range::SourceRange;
pub use traffic::{Traffic, Volume};
pub use turnover::{PendingUntil, Turnover};

/// Version of what is pinned where, whatever the layouts of the maps; part of the pins' path
/// (`/sys/fs/bpf/netproxy/v1/`).
pub const PINS_VERSION: u32 = 1;

/// IP protocol numbers (IANA) that netproxy balances.
pub mod protocol {
    /// Transmission Control Protocol, RFC 9293.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol, RFC 768.
    pub const UDP: u8 = 17;
    /// Stream Control Transmission Protocol, RFC 9260.
    pub const SCTP: u8 = 132;

    /// Whether services balance this protocol; its header begins with both ports.
    #[must_use]
    #[inline(always)]
    pub const fn has_ports(protocol: u8) -> bool {
        protocol == TCP || protocol == UDP || protocol == SCTP
    }

    /// Whether its packets belong to connections (of SCTP: associations), which say when they begin and
    /// end.
    #[must_use]
    #[inline(always)]
    pub const fn has_connections(protocol: u8) -> bool {
        protocol == TCP || protocol == SCTP
    }
}

/// Implements `bytemuck` and (for user space) `aya` plain-data traits for generic ABI types.
///
/// The derive macros refuse generics, so the absence of padding is asserted by size here.
macro_rules! plain_data {
    ($($type:ty => $size:expr),+ $(,)?) => {$(
        const _: () = assert!(size_of::<$type>() == $size);
        // SAFETY: `repr(C)`, every field is plain data valid for any bit pattern, and the size
        // assertion above proves that the fields fill the type without padding.
        unsafe impl bytemuck::Zeroable for $type {}
        // SAFETY: as above.
        unsafe impl bytemuck::Pod for $type {}
        #[cfg(feature = "user")]
        // SAFETY: as above; `aya::Pod` asks for nothing more.
        unsafe impl aya::Pod for $type {}
    )+};
}
pub(crate) use plain_data;
