//! Networks of one family, few enough to be compared one by one (`SERVICE_CIDRS_*`, `POD_CIDRS_*`).
//!
//! A slot is filled before `in_use` is set, and emptied by clearing `in_use`; it is filled anew
//! only after a grace period, so that no packet is compared with half of one network and half of
//! another.

use crate::plain_data;
use crate::{Ipv4, Ipv6};

/// How many networks a map holds. Packets that touch no service may be compared with each.
pub const NETWORKS: usize = 16;

/// Value of `SERVICE_CIDRS_*` and `POD_CIDRS_*`. Slots in use come first.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network<A> {
    /// The network's address; bits outside of the mask are zero.
    pub address: A,
    /// One bits for the prefix.
    pub mask: A,
    /// Non-zero: this slot counts; zero: neither it nor any after it.
    pub in_use: u32,
    /// Always zero.
    pub pad: u32,
}

plain_data! { Network<Ipv4> => 16, Network<Ipv6> => 40 }

/// How the datapath tells clients that are pods of this node, for `externalTrafficPolicy: Local`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LocalClients {
    /// By the device that the packet came in on and the route back through it.
    #[default]
    Device = 0,
    /// By their address: those in `POD_CIDRS_*`.
    Networks = 1,
    /// By the device alone: those with [`crate::device::DeviceFlags::LOCAL_PODS`].
    MarkedDevices = 2,
    /// Nobody is.
    Nobody = 3,
}
