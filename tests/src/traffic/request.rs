//! What is asked of `netproxy-traffic`, as its arguments.

use std::{fmt::Display, net::SocketAddr, time::Duration};

/// What a server listens on, on IPv4 and IPv6.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Serve {
    name: Option<String>,
    http: Vec<u16>,
    sctp: Vec<u16>,
    udp: Vec<u16>,
}

impl Serve {
    /// A server that listens on nothing yet and has its place's name.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name it answers with.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds a TCP port for HTTP.
    pub fn http(mut self, port: u16) -> Self {
        self.http.push(port);
        self
    }

    /// Adds an SCTP port for HTTP (`sctp://…`).
    pub fn sctp(mut self, port: u16) -> Self {
        self.sctp.push(port);
        self
    }

    /// Adds a UDP port.
    pub fn udp(mut self, port: u16) -> Self {
        self.udp.push(port);
        self
    }

    pub(super) fn arguments(&self, place: &str) -> Vec<String> {
        let mut words = Words::new("serve").with("--name", self.name.as_deref().unwrap_or(place));
        for port in &self.http {
            words = words.with("--http", port);
        }
        for port in &self.sctp {
            words = words.with("--sctp", port);
        }
        for port in &self.udp {
            words = words.with("--udp", port);
        }
        words.0
    }
}

/// HTTP requests, one after the other, each on a connection of its own.
#[derive(Clone, Debug)]
#[must_use]
pub struct Get(Words);

impl Get {
    /// One request.
    pub fn new(url: &str) -> Self {
        Self(Words::new("get").and(url))
    }

    /// How many.
    pub fn count(self, count: usize) -> Self {
        Self(self.0.with("--count", count))
    }

    /// All on one connection.
    pub fn keep_alive(self) -> Self {
        Self(self.0.and("--keep-alive"))
    }

    /// How long each may take (2 s unless told).
    pub fn timeout(self, longest: Duration) -> Self {
        Self(self.0.with("--timeout-ms", longest.as_millis()))
    }

    /// The client's own address and port; port 0 is any.
    pub fn from(self, local: SocketAddr) -> Self {
        Self(self.0.with("--from", local))
    }

    pub(super) fn arguments(&self) -> &[String] {
        &self.0.0
    }
}

/// UDP datagrams, one after the other, each awaiting its answer, each from a socket of its own.
#[derive(Clone, Debug)]
#[must_use]
pub struct Ask(Words);

impl Ask {
    /// One datagram.
    pub fn new(address: SocketAddr) -> Self {
        Self(Words::new("ask").and(address))
    }

    /// Asks this one, too, each time after the others.
    pub fn and(self, address: SocketAddr) -> Self {
        Self(self.0.and(address))
    }

    /// How many.
    pub fn count(self, count: usize) -> Self {
        Self(self.0.with("--count", count))
    }

    /// All from one socket.
    pub fn same_socket(self) -> Self {
        Self(self.0.and("--same-socket"))
    }

    /// All from one socket, which is connected, so that the kernel drops answers from elsewhere.
    pub fn connected(self) -> Self {
        Self(self.0.and("--connected"))
    }

    /// How long each datagram is at least, in bytes: above the MTU it comes in fragments.
    pub fn bytes(self, bytes: usize) -> Self {
        Self(self.0.with("--bytes", bytes))
    }

    /// How long to wait after each answer.
    pub fn interval(self, interval: Duration) -> Self {
        Self(self.0.with("--interval-ms", interval.as_millis()))
    }

    /// How long each may take (2 s unless told).
    pub fn timeout(self, longest: Duration) -> Self {
        Self(self.0.with("--timeout-ms", longest.as_millis()))
    }

    /// The client's own address and port; port 0 is any.
    pub fn from(self, local: SocketAddr) -> Self {
        Self(self.0.with("--from", local))
    }

    pub(super) fn arguments(&self) -> &[String] {
        &self.0.0
    }
}

/// Requests one after the other, without a pause unless told.
#[derive(Clone, Debug)]
#[must_use]
pub struct Load(Words);

impl Load {
    /// Requests by one client, until stopped.
    pub fn new(url: &str) -> Self {
        Self(Words::new("load").and(url))
    }

    /// How many clients ask at once.
    pub fn concurrency(self, clients: usize) -> Self {
        Self(self.0.with("--concurrency", clients))
    }

    /// Every client keeps its connection.
    pub fn keep_alive(self) -> Self {
        Self(self.0.and("--keep-alive"))
    }

    /// How long each may take (2 s unless told).
    pub fn timeout(self, longest: Duration) -> Self {
        Self(self.0.with("--timeout-ms", longest.as_millis()))
    }

    /// How long every client waits after each answer: a load that leaves room for others.
    pub fn interval(self, interval: Duration) -> Self {
        Self(self.0.with("--interval-ms", interval.as_millis()))
    }

    /// Ends by itself.
    pub fn seconds(self, seconds: u64) -> Self {
        Self(self.0.with("--seconds", seconds))
    }

    pub(super) fn arguments(&self) -> &[String] {
        &self.0.0
    }
}

/// First packets from sources that never answer.
#[derive(Clone, Debug)]
#[must_use]
pub struct Flood(Words);

impl Flood {
    /// TCP segments that would open a connection, from anywhere in a network.
    pub fn of_syns(address: SocketAddr, sources: &str) -> Self {
        Self::new(address, "syn", sources)
    }

    /// UDP datagrams, from anywhere in a network.
    pub fn of_datagrams(address: SocketAddr, sources: &str) -> Self {
        Self::new(address, "udp", sources)
    }

    fn new(address: SocketAddr, kind: &str, sources: &str) -> Self {
        let words = Words::new("flood").and(address).with("--kind", kind);
        Self(words.with("--sources", sources))
    }

    pub(super) fn arguments(self, count: u64) -> Vec<String> {
        self.0.with("--count", count).0
    }
}

/// A command line in the making.
#[derive(Clone, Debug)]
struct Words(Vec<String>);

impl Words {
    fn new(command: &str) -> Self {
        Self(vec![command.to_owned()])
    }

    fn and(mut self, word: impl Display) -> Self {
        self.0.push(word.to_string());
        self
    }

    fn with(self, option: &str, value: impl Display) -> Self {
        self.and(option).and(value)
    }
}
