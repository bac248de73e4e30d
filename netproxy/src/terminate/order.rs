//! What the agent and the process that ends sockets say to each other.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The first line of the process: whether it can end sockets on this node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Greeting {
    /// It can.
    Ready,
    /// It cannot, and why.
    Unable(String),
}

/// A socket to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Doomed {
    /// The cookie of its network namespace (`SO_NETNS_COOKIE`).
    pub netns: u64,
    /// Its own cookie (`SO_COOKIE`), without which it is not ended.
    pub cookie: u64,
    /// Its protocol's number.
    pub protocol: u8,
    /// What it is connected to.
    pub endpoint: SocketAddr,
}

/// What has become of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// Whoever waits on it has got an error.
    Ended,
    /// It is closed already, or no longer connected to its endpoint.
    Gone,
    /// No process that can be seen is in its network namespace.
    Unreachable,
    /// The kernel refuses.
    Refused(String),
}
