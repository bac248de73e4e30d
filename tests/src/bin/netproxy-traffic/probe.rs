//! `probe`: batches of probes from standard input, answered as JSON lines.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use netproxy_lab::{
    probe::{Batch, Means, Probe, Replies, Reply},
    report::Answer,
};
use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UdpSocket},
    time::{Instant, sleep_until, timeout},
};

use crate::print;

/// Probes that are under way at once: enough to wait for many silent ones together, few enough not
/// to overrun a server's queue.
const AT_ONCE: usize = 256;
/// The largest answer that is read.
const LARGEST: usize = 4096;

/// What UDP questions are asked from: what the kernel would take as well.
const OWN_PORTS: Range<u16> = 32_768..61_000;

/// Sockets that outlive their probe, by its name.
type Kept = Arc<Mutex<HashMap<String, Vec<Arc<UdpSocket>>>>>;

pub(crate) async fn run() -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let kept = Kept::default();
    while let Some(line) = lines.next_line().await.context("read the orders")? {
        let batch: Batch = serde_json::from_str(&line).context("not a batch of probes")?;
        if batch.forget {
            locked(&kept).clear();
        }
        let (start, pace) = (Instant::now(), Duration::from_millis(batch.pace_ms));
        let all: Vec<Replies> = stream::iter(batch.probes)
            .enumerate()
            .map(|(number, probe)| {
                let kept = kept.clone();
                async move {
                    sleep_until(start + pace.saturating_mul(u32::try_from(number)?)).await;
                    anyhow::Ok(do_probe(probe, kept).await)
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        print(&all)?;
    }
    Ok(())
}

async fn do_probe(probe: Probe, kept: Kept) -> Replies {
    let mut replies = Vec::new();
    for &target in &probe.targets {
        replies.push(match &probe.kept_as {
            None => ask_target(&probe, target).await,
            Some(name) => ask_kept(&probe, target, name, &kept).await,
        });
    }
    replies
}

async fn ask_target(probe: &Probe, target: SocketAddr) -> Vec<Reply> {
    if probe.failures >= probe.tries && probe.targets.len() == 1 {
        // Nothing that a try sees could keep the next from being made.
        let tries = (0..probe.tries).map(|_| ask_once(probe, target));
        return join_all(tries).await;
    }
    let mut replies = Vec::new();
    let mut failures = 0;
    while replies.len() < probe.tries && failures < probe.failures {
        let reply = ask_once(probe, target).await;
        failures += usize::from(!matches!(reply, Reply::Answered { .. }));
        replies.push(reply);
    }
    replies
}

async fn ask_once(probe: &Probe, target: SocketAddr) -> Reply {
    within(probe, async {
        match probe.means {
            Means::Tcp => ask_tcp(target).await,
            Means::Udp => ask_udp(&open_udp(target).await?).await,
            Means::Echo => ask_echo(target).await,
        }
    })
    .await
}

/// Each of the kept sockets asks once; a new one, twice.
async fn ask_kept(probe: &Probe, target: SocketAddr, name: &str, kept: &Kept) -> Vec<Reply> {
    let name = format!("{name} {target}");
    let found = locked(kept).get(&name).cloned();
    if let Some(sockets) = found {
        return ask_all(probe, &sockets).await;
    }
    let mut sockets = Vec::new();
    for _ in 0..probe.tries {
        match open_udp(target).await {
            Ok(socket) => sockets.push(Arc::new(socket)),
            Err(error) => return vec![reply_of(&error)],
        }
    }
    locked(kept).insert(name, sockets.clone());
    // A flow lasts longer when the client has spoken after an answer: who answers next must not be a
    // matter of how long that takes.
    ask_all(probe, &sockets).await;
    ask_all(probe, &sockets).await
}

fn locked(kept: &Kept) -> MutexGuard<'_, HashMap<String, Vec<Arc<UdpSocket>>>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask_all(probe: &Probe, sockets: &[Arc<UdpSocket>]) -> Vec<Reply> {
    join_all(sockets.iter().map(|socket| within(probe, ask_udp(socket)))).await
}

async fn within(probe: &Probe, attempt: impl Future<Output = io::Result<Reply>>) -> Reply {
    match timeout(Duration::from_millis(probe.timeout_ms), attempt).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => reply_of(&error),
        Err(_) => Reply::Silent,
    }
}

fn reply_of(error: &io::Error) -> Reply {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Reply::Refused,
        _ => Reply::Failed(error.to_string()),
    }
}

/// Ends the connection before the server does: a client's own port is then left alone by the kernel
/// until nobody remembers the connection.
async fn ask_tcp(target: SocketAddr) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(target).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: probe\r\n\r\n")
        .await?;
    let mut response = Vec::new();
    let mut buffer = [0; LARGEST];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::Error::other("no whole response"));
        }
        response.extend_from_slice(&buffer[..length]);
        let mut ends = response.windows(4).enumerate();
        let head = ends.find_map(|(at, four)| (four == b"\r\n\r\n").then_some(at));
        // The body is one JSON object: whole when it is one.
        if let Some(head) = head
            && let Ok((reply, _)) = answered(&response[head + 4..])
        {
            return Ok(reply);
        }
    }
}

/// A socket with a port of its own: the kernel's choice might be that of a flow that is remembered
/// from a question before. Ports come round after some 28 000 questions.
async fn open_udp(target: SocketAddr) -> io::Result<UdpSocket> {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    loop {
        let number = TAKEN.fetch_add(1, Ordering::Relaxed) % OWN_PORTS.len();
        let port = OWN_PORTS.start + u16::try_from(number).unwrap_or_default();
        match UdpSocket::bind(SocketAddr::new(any, port)).await {
            Ok(socket) => {
                socket.connect(target).await?;
                return Ok(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}

async fn ask_udp(socket: &UdpSocket) -> io::Result<Reply> {
    // Every question is another one: a late answer to the last is no answer to this.
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let question = ASKED.fetch_add(1, Ordering::Relaxed).to_string();
    send(socket, question.as_bytes()).await?;
    let mut buffer = [0; LARGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let (reply, payload) = answered(&buffer[..length])?;
        if payload.as_deref() == Some(&question) {
            return Ok(reply);
        }
    }
}

/// What a rule drops on the way out, the sender is told at once. Whether it was refused only the ICMP
/// error tells, which comes later if at all.
async fn send(socket: &UdpSocket, datagram: &[u8]) -> io::Result<()> {
    match socket.send(datagram).await {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOBUFS)) => Ok(()),
        sent => sent.map(drop),
    }
}

fn answered(text: &[u8]) -> io::Result<(Reply, Option<String>)> {
    let answer: Answer = serde_json::from_slice(text)?;
    let reply = Reply::Answered {
        endpoint: answer.endpoint,
        port: answer.server.port(),
        client: answer.client.ip(),
    };
    Ok((reply, answer.payload))
}

/// By a "ping socket", which hears of ICMP errors as UDP sockets do (`net.ipv4.ping_group_range`).
async fn ask_echo(target: SocketAddr) -> io::Result<Reply> {
    let (protocol, kind) = if target.is_ipv4() {
        (Protocol::ICMPV4, 8)
    } else {
        (Protocol::ICMPV6, 128)
    };
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.connect(&SocketAddr::new(target.ip(), 0).into())?;
    // A ping socket is a datagram socket to tokio; the kernel fills in identifier and checksum.
    let socket = UdpSocket::from_std(std::net::UdpSocket::from(socket))?;
    send(&socket, &[kind, 0, 0, 0, 0, 0, 0, 1]).await?;
    let mut buffer = [0; LARGEST];
    socket.recv(&mut buffer).await?;
    Ok(Reply::Answered {
        endpoint: "an echo reply".to_owned(),
        port: 0,
        client: target.ip(),
    })
}
