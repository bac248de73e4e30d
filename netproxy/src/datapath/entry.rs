//! Service ports and endpoints as the maps hold them, for tools.

use std::net::IpAddr;

use netproxy_common::Range;

use crate::plan::PortKey;

/// One service port as the maps hold it.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    /// Its id.
    pub id: u32,
    /// What it is called.
    pub key: PortKey,
    /// How often it has changed.
    pub generation: u32,
    /// The header of its endpoints.
    pub range: Range,
}

/// One endpoint as the maps hold it.
#[derive(Clone, Copy, Debug)]
pub struct EndpointEntry {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it is on this node.
    pub is_local: bool,
    /// Which of the seven segments it is in.
    pub segment: usize,
}
