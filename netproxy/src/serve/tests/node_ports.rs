//! Servers at health-check node ports, on real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{LIMIT, ask, check, start, web};
use crate::model::{Family, ObjectName};
use crate::plan::HealthCheck;
use crate::serve::health_checks::HealthChecks;
use crate::serve::node_ports::NodePortServers;
use crate::serve::publisher::HealthPublisher;
use crate::settings::NodePortAddresses;
use crate::source::{Event, Events, Regarding};

/// Ports below those that the kernel hands out.
const PORT: u16 = 30_001;
const NEW_PORT: u16 = 30_002;
const OTHER_PORT: u16 = 30_003;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n";

/// Servers on an address of the loopback device that is theirs alone, and what they hear and tell.
struct Ground {
    ip: Ipv4Addr,
    publisher: HealthPublisher,
    servers: NodePortServers,
    events: mpsc::Receiver<Event>,
    start: Instant,
}

impl Ground {
    /// Ground number `number`, another for each test.
    fn new(number: u8) -> Self {
        let start = start();
        let loopback = NodePortAddresses {
            primary: false,
            localhost: false,
            all: false,
            networks: vec!["127.0.0.0/8".parse().unwrap()],
        };
        let ip = loopback_ip(number);
        let publisher = HealthPublisher::new(start.timestamp, HealthChecks::new(&loopback));
        publisher.node_port_addresses(&[ip.into()].into(), None::<&String>);
        let (events, told) = Events::channel();
        let (health, checks) = (publisher.health(), publisher.checks());
        Self {
            ip,
            servers: NodePortServers::new("this".into(), health, checks, LIMIT, events),
            publisher,
            events: told,
            start: start.instant,
        }
    }

    /// The service has one or more endpoints here, or none.
    fn set(&self, service: ObjectName, port: u16, count: usize) {
        self.publish(service, Some(check(port, &[(Family::V4, count)])));
    }

    fn remove(&self, service: ObjectName) {
        self.publish(service, None);
    }

    fn publish(&self, service: ObjectName, check: Option<HealthCheck>) {
        self.publisher.set_checks([(service, check)].into_iter());
    }

    /// NodePorts answer at another address.
    fn move_to(&self, ip: Ipv4Addr) {
        let addresses = [ip.into()].into();
        self.publisher
            .node_port_addresses(&addresses, None::<&String>);
    }

    /// What the servers do `seconds` after the start.
    async fn follow(&mut self, seconds: u64) -> bool {
        let now = self.start + Duration::from_secs(seconds);
        self.servers.follow(now).await
    }

    fn at(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }

    async fn ask(&self, port: u16) -> String {
        ask(self.at(port), REQUEST).await
    }

    async fn is_closed(&self, port: u16) -> bool {
        TcpStream::connect(self.at(port)).await.is_err()
    }
}

/// An address that no other test, nor another run of the tests, uses.
fn loopback_ip(number: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, number)
}

fn other() -> ObjectName {
    ObjectName::new("shop", "other")
}

#[tokio::test]
async fn a_service_is_answered_with_its_present_count_at_any_path_by_any_method() {
    let mut ground = Ground::new(11);
    ground.set(web(), PORT, 0);
    assert!(ground.follow(0).await);

    let none = ground.ask(PORT).await;
    ground.set(web(), PORT, 2);
    let odd =
        "POST /a/path?x HTTP/1.1\r\nHost: lb\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let two = ask(ground.at(PORT), odd).await;

    assert!(
        none.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{none}"
    );
    assert!(two.starts_with("HTTP/1.1 200 OK\r\n"), "{two}");
    assert!(
        two.contains("\r\nX-Load-Balancing-Endpoint-Weight: 2\r\n"),
        "{two}"
    );
    assert!(two.contains("\"localEndpoints\": 2"), "{two}");
}

#[tokio::test]
async fn an_unhealthy_proxy_makes_it_unavailable_with_the_same_count() {
    let mut ground = Ground::new(12);
    ground.set(web(), PORT, 2);
    ground.follow(0).await;

    let long_ago = Instant::now().checked_sub(LIMIT).unwrap();
    ground.publisher.queued([None].into_iter(), long_ago);
    let answer = ground.ask(PORT).await;

    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("\"localEndpoints\": 2"), "{answer}");
    assert!(
        answer.ends_with("\"serviceProxyHealthy\": false\n}"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_changed_port_closes_the_old_one_and_leaves_other_services_alone() {
    let mut ground = Ground::new(13);
    ground.set(web(), PORT, 1);
    ground.set(other(), OTHER_PORT, 1);
    ground.follow(0).await;
    let mut kept = TcpStream::connect(ground.at(OTHER_PORT)).await.unwrap();

    ground.set(web(), NEW_PORT, 1);
    assert!(ground.follow(1).await);

    assert!(ground.is_closed(PORT).await);
    assert!(ground.ask(NEW_PORT).await.starts_with("HTTP/1.1 200"));
    // A connection from before is still answered: its server is the same.
    kept.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\"name\": \"other\""), "{answer}");
}

#[tokio::test]
async fn a_removed_service_is_closed_and_its_port_can_pass_on_at_once() {
    let mut ground = Ground::new(14);
    ground.set(web(), PORT, 1);
    ground.follow(0).await;

    ground.remove(web());
    ground.set(other(), PORT, 1);
    assert!(ground.follow(1).await);
    let answer = ground.ask(PORT).await;
    ground.remove(other());
    ground.follow(2).await;

    assert!(answer.contains("\"name\": \"other\""), "{answer}");
    assert!(ground.is_closed(PORT).await);
}

#[tokio::test]
async fn addresses_are_followed() {
    let mut ground = Ground::new(15);
    ground.set(web(), PORT, 1);
    ground.follow(0).await;

    let next = loopback_ip(16);
    ground.move_to(next);
    ground.follow(1).await;

    assert!(ground.is_closed(PORT).await);
    let answer = ask((next, PORT).into(), REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_once_a_minute_and_opened_when_it_is_free() {
    let mut ground = Ground::new(17);
    let taken = TcpListener::bind(ground.at(PORT)).await.unwrap();
    ground.set(web(), PORT, 1);

    for seconds in [0, 1, 59, 60] {
        assert!(!ground.follow(seconds).await);
    }
    drop(taken);
    assert!(ground.follow(61).await);

    assert!(ground.ask(PORT).await.starts_with("HTTP/1.1 200"));
    let told: Vec<_> = std::iter::from_fn(|| ground.events.try_recv().ok()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].regarding, Regarding::Service(web()));
    assert_eq!(told[0].reason, "FailedToStartServiceHealthcheck");
    assert!(told[0].is_warning);
    let expected = format!("node this failed to start healthcheck \"shop/web\" on port {PORT}: ");
    assert!(told[0].note.starts_with(&expected), "{told:?}");
}
