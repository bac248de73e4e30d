//! What a resident prober ([`Prober`](crate::Prober)) is ordered, and what it answers: one JSON line
//! each per batch.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// What is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// A connection and a request of HTTP.
    Tcp,
    /// A datagram.
    Udp,
    /// An ICMP echo request; the port is not used.
    Echo,
}

/// Frontends that are asked one after the other by one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// By what.
    pub means: Means,
    /// Whom, in this order.
    pub targets: Vec<SocketAddr>,
    /// How often each, every time from a new socket; one after the other, unless nothing depends on it.
    pub tries: usize,
    /// After so many tries that were not answered the rest of a target's is left out.
    pub failures: usize,
    /// How long a try may take, in milliseconds.
    pub timeout_ms: u64,
    /// UDP only: the sockets are connected, kept under this name, and used again by the next probe
    /// of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_as: Option<String>,
}

/// What a prober is ordered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Batch {
    /// Close all kept sockets before.
    pub forget: bool,
    /// How long after one probe the next begins, in milliseconds: nodes send no more than so many ICMP
    /// errors in a time.
    pub pace_ms: u64,
    /// What to do, at once but for the pace.
    pub probes: Vec<Probe>,
}

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It was answered.
    Answered {
        /// The server's name.
        endpoint: String,
        /// The port it was asked on.
        port: u16,
        /// Who asked, as the server sees it.
        client: IpAddr,
    },
    /// An ICMP error or a RST said no.
    Refused,
    /// Nothing came back.
    Silent,
    /// Something else.
    Failed(String),
}

/// What became of one probe: the replies of each target, in order.
pub type Replies = Vec<Vec<Reply>>;
