//! What `netproxy-traffic` prints, one JSON object a line, and the lab reads back.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

/// What a server says about one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The server's name.
    pub endpoint: String,
    /// Who asked, as the server sees it.
    pub client: SocketAddr,
    /// Which of the server's own addresses was asked.
    pub server: SocketAddr,
    /// What was asked, by UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// One try of `get` or `ask`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempt {
    /// It was answered.
    Answered {
        /// By whom, and what it saw.
        answer: Answer,
        /// The client's own address, as the client sees it.
        local: SocketAddr,
        /// The other side's address, as the client sees it: `getpeername`, or the source of the
        /// datagram.
        peer: SocketAddr,
        /// From before connecting to the whole answer.
        milliseconds: f64,
    },
    /// It was not.
    Failed {
        /// Why.
        error: String,
        /// How long that took.
        milliseconds: f64,
    },
}

/// What became of a `trace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traced {
    /// The socket was told of an ICMP error.
    Error {
        /// The error's type.
        kind: u8,
        /// Its code.
        code: u8,
        /// Who sent it.
        from: IpAddr,
        /// Where the datagram that it is about was sent to.
        asked: SocketAddr,
    },
    /// It came through.
    Answered {
        /// The server's name.
        endpoint: String,
        /// Who answered, as the socket sees it.
        peer: SocketAddr,
    },
}

/// The whole answer to a `fetch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// The headers by their names in lower case; of several of one name, the last.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

/// A `download` or an `upload`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// The server's name.
    pub endpoint: String,
    /// How many bytes came through.
    pub bytes: u64,
    /// Their SHA-256 as the sender has it.
    pub sent: String,
    /// Their SHA-256 as the receiver has it.
    pub received: String,
    /// From before connecting to the end.
    pub milliseconds: f64,
}

impl Transfer {
    /// Whether what was received is what was sent.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.sent == self.received
    }
}

/// What a `load` has to say at its end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LoadReport {
    /// How many requests were answered.
    pub answered: u64,
    /// How many were not.
    pub failed: u64,
    /// Why, and how often.
    pub errors: BTreeMap<String, u64>,
    /// Who answered, and how often.
    pub by_endpoint: BTreeMap<String, u64>,
    /// How long the answered ones took.
    pub latency: Latency,
    /// The longest time in which no request was answered, in milliseconds.
    pub longest_gap_milliseconds: f64,
    /// How long it ran.
    pub seconds: f64,
}

/// What an `exchange` has to say at its end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ExchangeReport {
    /// How many requests were answered.
    pub answered: u64,
    /// How many were not.
    pub failed: u64,
    /// How long it ran.
    pub seconds: f64,
    /// The median of what the answered ones took, in nanoseconds.
    pub p50_ns: u64,
    /// 99 of 100 were as fast.
    pub p99_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// 90 of 100 were as fast.
    pub p90: u64,
    /// 99 of 100 were as fast.
    pub p99: u64,
    /// 999 of 1000 were as fast.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}

/// What a `hold` has to say at its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoldReport {
    /// How many requests the one connection carried.
    pub requests: u64,
    /// Who answered: more than one can only be a fault.
    pub endpoints: BTreeSet<String>,
    /// Why the connection broke, if it did.
    pub broken: Option<String>,
}

/// What became of a flood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FloodReport {
    /// How many packets were sent.
    pub sent: u64,
    /// How many answers came back.
    pub answered: u64,
    /// How long that took.
    pub milliseconds: f64,
}

/// What a `talk` has to say at its end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TalkReport {
    /// How many questions were answered.
    pub answered: u64,
    /// How many were not, or by another address than was asked.
    pub failed: u64,
    /// Why, and how often.
    pub errors: BTreeMap<String, u64>,
    /// How often another endpoint answered than the time before.
    pub moved: u64,
    /// How many conversations came after the first.
    pub conversations: u64,
    /// How many questions were asked once more.
    pub repeated: u64,
}

/// What a program that goes on prints when it is at work: a server listens, a load or a held
/// connection has its first answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// The addresses it listens on, or its own address.
    pub ready: Vec<SocketAddr>,
}
