//! Which endpoint a client sticks to (`AFFINITY_*`), under `sessionAffinity: ClientIP`.

use crate::plain_data;
use crate::{Be16, Ipv4, Ipv6};

/// Key of `AFFINITY_*`: all frontends of a service port share it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AffinityKey<A> {
    /// The client's address, before any translation.
    pub client: A,
    /// Index into `SERVICES`.
    pub service: u32,
}

/// Value of `AFFINITY_*`. It counts only while the endpoint is among those the client may use.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity<A> {
    /// The endpoint's address.
    pub address: A,
    /// The endpoint's port.
    pub port: Be16,
    /// Always zero.
    pub pad: u16,
    /// When the client last opened a flow, in seconds of `CLOCK_MONOTONIC`.
    pub used_s: u32,
}

plain_data! {
    AffinityKey<Ipv4> => 8, AffinityKey<Ipv6> => 20,
    Affinity<Ipv4> => 12, Affinity<Ipv6> => 24,
}
