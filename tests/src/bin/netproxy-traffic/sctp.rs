//! SCTP by sockets that are used like those of TCP (one-to-one, RFC 6458, section 4), but for what tokio
//! takes for granted of streams: a read ends with a message, and says nothing of what is behind it.

use std::{
    io::{self, Read as _},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use anyhow::Context as _;
use axum::serve::Listener;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd},
    task::spawn_blocking,
};

/// How long an association may take to begin.
const LONGEST: Duration = Duration::from_secs(20);
/// What is written at once is one message, which goes whole into the socket's buffer or not at all.
const LARGEST: usize = 64 * 1024;

/// A socket for associations of one family.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::SCTP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Has tokio tell when the socket is ready.
fn watched(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    socket.set_nonblocking(true)?;
    // SAFETY: a socket has the same descriptor for as long as it lives, and closes it when dropped.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

fn named(address: io::Result<socket2::SockAddr>) -> io::Result<SocketAddr> {
    let address = address?.as_socket();
    address.ok_or_else(|| io::Error::other("an association of another family"))
}

/// An association.
#[derive(Debug)]
pub(crate) struct Association(AsyncFd<Socket>);

impl Association {
    /// Begins one, from `from` if that matters.
    pub(crate) async fn open(
        address: SocketAddr,
        from: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        // While it begins, the socket may look writable.
        let connected = spawn_blocking(move || {
            let socket = socket(address).context("a socket of SCTP")?;
            if let Some(from) = from {
                let bound = socket.bind(&from.into());
                bound.with_context(|| format!("bind to {from}"))?;
            }
            socket.set_write_timeout(Some(LONGEST))?;
            socket.connect(&address.into())?;
            anyhow::Ok(socket)
        });
        Ok(Self::new(connected.await??)?)
    }

    fn new(socket: Socket) -> io::Result<Self> {
        watched(socket).map(Self)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        named(self.0.get_ref().local_addr())
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        named(self.0.get_ref().peer_addr())
    }
}

impl AsyncRead for Association {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            if let Ok(read) = guard.try_io(|socket| socket.get_ref().read(room)) {
                buffer.advance(read?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Association {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let message = &bytes[..bytes.len().min(LARGEST)];
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            if let Ok(sent) = guard.try_io(|socket| socket.get_ref().send(message)) {
                return Poll::Ready(sent);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closing does it; of SCTP there is no half of it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A socket that takes associations.
#[derive(Debug)]
pub(crate) struct Associations(AsyncFd<Socket>);

impl Associations {
    pub(crate) fn at(address: SocketAddr) -> anyhow::Result<Self> {
        let listening = || -> io::Result<Self> {
            let socket = socket(address)?;
            socket.bind(&address.into())?;
            socket.listen(1024)?;
            watched(socket).map(Self)
        };
        listening().with_context(|| format!("listen on {address} for SCTP"))
    }

    async fn next(&self) -> io::Result<(Association, SocketAddr)> {
        loop {
            let mut guard = self.0.readable().await?;
            if let Ok(accepted) = guard.try_io(|socket| socket.get_ref().accept()) {
                let association = Association::new(accepted?.0)?;
                let peer = association.peer_addr()?;
                return Ok((association, peer));
            }
        }
    }
}

impl Listener for Associations {
    type Io = Association;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Association, SocketAddr) {
        loop {
            // One that has ended already is no reason to leave the others.
            match self.next().await {
                Ok(accepted) => return accepted,
                Err(error) => eprintln!("SCTP: {error}"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        named(self.0.get_ref().local_addr())
    }
}
