//! A small HTTP/1 server for answers that are at hand: no body is read, no answer waits.
//!
//! Whoever connects cannot keep much of the agent: there are few connections at a time, of one
//! server and of all, requests have to come soon, and no connection stays. Dropping [`serve`]
//! closes all of them.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::complaints::Complaints;

/// Connections at a time of one server; others wait in the kernel's queue.
pub(super) const MOST_CONNECTIONS: usize = 32;
/// Connections at a time of all servers, so that other uses of file descriptors are not starved
/// where a process has few (1024): there may be a server for each of many services.
static SLOTS: Semaphore = Semaphore::const_new(256);
/// Of connections that the kernel holds for us.
const BACKLOG: i32 = 128;
/// For the head of a request, also of the next one on the same connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For a connection, after which its current answer is its last.
const LONGEST_CONNECTION: Duration = Duration::from_mins(1);
/// For that last answer to be taken.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// Of the head of a request, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;
/// After connections could not be accepted (too many open files), before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// An answer of type `content_type`, which browsers are told not to doubt.
pub(super) fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// An answer of plain text.
pub(super) fn text(status: StatusCode, body: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", body.to_owned())
}

/// What Go's servers say of a path that they do not know.
pub(super) fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// `answer` with a number in one header more.
pub(super) fn with_number(mut answer: Answer, name: HeaderName, number: usize) -> Answer {
    answer.headers_mut().insert(name, number.into());
    answer
}

/// Listens at `address` and its family only.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    open(address, true)
}

/// Listens at `address`; at both families if it is the unspecified address of either, as Go's
/// `net.Listen` does, and at IPv4 alone where the kernel has no IPv6.
pub(super) fn listen_widely(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return open(address, true);
    }
    match open((Ipv6Addr::UNSPECIFIED, address.port()).into(), false) {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            open((Ipv4Addr::UNSPECIFIED, address.port()).into(), true)
        }
        outcome => outcome,
    }
}

fn open(address: SocketAddr, is_one_family: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(is_one_family)?;
    }
    // Connections of an earlier process may linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Answers every request with what `respond` says, for ever.
pub(super) async fn serve<R>(listener: TcpListener, respond: R) -> Infallible
where
    R: Fn(&Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    let mut complaints = Complaints::new();
    loop {
        tokio::select! {
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                match accepted {
                    Ok((stream, _)) => {
                        let slot = SLOTS.acquire().await;
                        let conversation = converse(stream, respond.clone());
                        connections.spawn(async move {
                            conversation.await;
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        if complaints.is_due((), Instant::now()) {
                            warn!(%error, "a connection cannot be accepted; trying again");
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
}

async fn converse<R>(stream: TcpStream, respond: R)
where
    R: Fn(&Request<Incoming>) -> Answer,
{
    let service = service_fn(|request| {
        let answer = respond(&request);
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(LONGEST_HEAD)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = timeout(LONGEST_CONNECTION, connection.as_mut()).await;
    let outcome = if let Ok(outcome) = ended {
        outcome
    } else {
        connection.as_mut().graceful_shutdown();
        let last = timeout(LAST_ANSWER, connection).await;
        last.unwrap_or(Ok(()))
    };
    if let Err(error) = outcome {
        debug!(%error, "a connection ended early");
    }
}
