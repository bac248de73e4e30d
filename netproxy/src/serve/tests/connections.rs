//! The server itself: what clients can do to it, and an address that cannot be had.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{ask, page, publisher, start};
use crate::serve::http::{MOST_CONNECTIONS, listen, listen_widely, serve, text};
use crate::serve::{self, ServeError};
use crate::settings::ServeSettings;
use crate::source::{Event, Events};

/// A server that says `hello`, and where.
fn hello() -> (SocketAddr, AbortOnDropHandle<std::convert::Infallible>) {
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener, |_| text(StatusCode::OK, "hello"));
    (address, AbortOnDropHandle::new(tokio::spawn(server)))
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let (address, _server) = hello();

    let answer = ask(
        address,
        "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;

    assert!(answer.contains("\r\nContent-Length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn old_clients_are_answered_and_connections_are_kept_for_new_ones() {
    let (address, _server) = hello();

    let old = ask(address, "GET / HTTP/1.0\r\n\r\n").await;
    let twice =
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let kept = ask(address, twice).await;

    assert!(
        old.starts_with("HTTP/1.0 200 OK\r\n") && old.ends_with("hello"),
        "{old}"
    );
    assert_eq!(kept.matches("HTTP/1.1 200 OK").count(), 2, "{kept}");
}

#[tokio::test]
async fn what_is_no_request_or_too_long_a_one_is_refused() {
    let (address, _server) = hello();
    let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(16 * 1024));

    let nonsense = ask(address, "nonsense\r\n\r\n").await;
    let long = ask(address, &long).await;

    assert!(nonsense.starts_with("HTTP/1.1 400"), "{nonsense}");
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_let_go() {
    let (address, _server) = hello();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let begin = Instant::now();

    let read = silent.read(&mut [0; 16]).await.unwrap();

    assert_eq!(read, 0);
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_always_asks_is_let_go_after_a_minute() {
    let (address, _server) = hello();
    let mut busy = TcpStream::connect(address).await.unwrap();
    let begin = Instant::now();
    let mut answer = [0; 1024];

    while begin.elapsed() < Duration::from_mins(2) {
        let sent = busy.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        if sent.is_err() || busy.read(&mut answer).await.unwrap_or(0) == 0 {
            break;
        }
        // Paused, time goes on when all wait.
        sleep(Duration::from_secs(5)).await;
    }

    let seconds = begin.elapsed().as_secs();
    assert!((60..=65).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_out_for_ever() {
    let (address, server) = hello();
    let mut silent = Vec::new();
    for _ in 0..MOST_CONNECTIONS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();

    drop(silent.pop());
    let mut answer = String::new();
    late.read_to_string(&mut answer).await.unwrap();

    assert!(answer.ends_with("hello"), "{answer}");
    drop(server);
}

#[tokio::test]
async fn a_dropped_server_closes_its_port_and_its_connections() {
    let (address, server) = hello();
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 15];
    open.read_exact(&mut first).await.unwrap();

    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());

    let mut rest = Vec::new();
    // Closed or reset, but over.
    let _ = open.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn unspecified_addresses_answer_in_both_families() {
    for unspecified in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
        let listener = listen_widely(SocketAddr::new(unspecified, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = serve(listener, |_| text(StatusCode::OK, "hello"));
        let _server = AbortOnDropHandle::new(tokio::spawn(server));
        for client in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let answer = ask(SocketAddr::new(client, port), "GET / HTTP/1.0\r\n\r\n").await;
            assert!(
                answer.ends_with("hello"),
                "{unspecified} {client}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn both_families_can_listen_at_one_port_apart() {
    let v4 = listen((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
    let port = v4.local_addr().unwrap().port();

    let v6 = listen((Ipv6Addr::UNSPECIFIED, port).into());

    assert!(v6.is_ok(), "{v6:?}");
}

/// Runs with the health server's address taken, and answers with how that ended, if it did.
async fn with_taken_address(is_fatal: bool) -> (Option<ServeError>, Vec<Event>) {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let settings = ServeSettings {
        healthz_bind_address: Some(taken.local_addr().unwrap()),
        metrics_bind_address: None,
        bind_address_hard_fail: is_fatal,
        ..ServeSettings::default()
    };
    let publisher = publisher(start().timestamp);
    let (events, mut told) = Events::channel();
    let (health, checks) = (publisher.health(), publisher.checks());
    let run = serve::run(settings, "this".into(), health, checks, events, page());
    let ended = tokio::time::timeout(Duration::from_mins(10), run).await;
    let ended = ended.ok().map(Result::unwrap_err);
    (ended, std::iter::from_fn(|| told.try_recv().ok()).collect())
}

#[tokio::test(start_paused = true)]
async fn an_address_that_cannot_be_had_ends_the_agent_if_so_configured_and_is_told() {
    let (ended, told) = with_taken_address(true).await;

    let error = ended.expect("it should end").to_string();
    assert!(
        error.contains("the health server cannot listen at 127.0.0.1:"),
        "{error}"
    );
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].reason, "FailedToStartProxierHealthcheck");
    assert_eq!(told[0].action, "StartKubeProxy");
    assert!(told[0].is_warning);
}

#[tokio::test(start_paused = true)]
async fn otherwise_it_goes_on_trying() {
    let (ended, told) = with_taken_address(false).await;

    assert!(ended.is_none(), "{ended:?}");
    assert!(!told.is_empty());
}

#[tokio::test]
async fn an_address_is_had_as_soon_as_it_is_free() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = taken.local_addr().unwrap();
    let settings = ServeSettings {
        healthz_bind_address: Some(address),
        metrics_bind_address: None,
        ..ServeSettings::default()
    };
    let publisher = publisher(start().timestamp);
    let (events, mut told) = Events::channel();
    let (health, checks) = (publisher.health(), publisher.checks());
    let run = serve::run(settings, "this".into(), health, checks, events, page());
    let _server = AbortOnDropHandle::new(tokio::spawn(run));
    told.recv().await.expect("it should complain first");

    drop(taken);
    // Paused, time goes on when all wait: no attempt is waited for in earnest.
    tokio::time::pause();
    let mut attempts = 0;
    while TcpStream::connect(address).await.is_err() && attempts < 20 {
        attempts += 1;
        sleep(Duration::from_secs(1)).await;
    }
    tokio::time::resume();
    let answer = ask(address, "GET /livez HTTP/1.0\r\n\r\n").await;

    assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
}
