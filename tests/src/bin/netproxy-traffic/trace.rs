//! `trace`: one datagram of few hops, and what the socket is told about it.

use std::{
    io::IoSliceMut,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use netproxy_lab::report::{Answer, Traced};
use nix::{
    cmsg_space,
    libc::sock_extended_err,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg,
        setsockopt, sockopt,
    },
};

use crate::print;

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// Whom to ask.
    address: SocketAddr,
    /// How many hops the datagram may go.
    #[arg(long)]
    hops: u8,
    /// How long to wait for an error, or an answer.
    #[arg(long, default_value_t = 2000)]
    timeout_ms: u16,
}

impl Trace {
    pub(crate) fn run(&self) -> Result<()> {
        let socket = self.open().context("a socket that is told of errors")?;
        socket.send_to(b"trace", self.address)?;
        let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waiting, PollTimeout::from(self.timeout_ms))? == 0 {
            bail!("neither an error nor an answer in {} ms", self.timeout_ms);
        }
        let events = waiting[0].revents().unwrap_or(PollFlags::empty());
        print(&if events.contains(PollFlags::POLLERR) {
            error(&socket)?
        } else {
            answer(&socket)?
        })
    }

    fn open(&self) -> Result<UdpSocket> {
        let hops = i32::from(self.hops);
        if self.address.is_ipv4() {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            setsockopt(&socket, sockopt::Ipv4Ttl, &hops)?;
            Ok(socket)
        } else {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            setsockopt(&socket, sockopt::Ipv6Ttl, &hops)?;
            Ok(socket)
        }
    }
}

fn answer(socket: &UdpSocket) -> Result<Traced> {
    let mut buffer = [0; 2048];
    let (length, peer) = socket.recv_from(&mut buffer)?;
    let answer: Answer =
        serde_json::from_slice(&buffer[..length]).context("not an answer of netproxy-traffic")?;
    Ok(Traced::Answered {
        endpoint: answer.endpoint,
        peer,
    })
}

/// The first of the socket's error queue (ip(7), `IP_RECVERR`).
fn error(socket: &UdpSocket) -> Result<Traced> {
    let mut quote = [0; 2048];
    let mut quotes = [IoSliceMut::new(&mut quote)];
    let mut control = cmsg_space!(sock_extended_err, SockaddrIn6);
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut quotes,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE,
    )?;
    let asked = message.address.as_ref().and_then(socket_address);
    let asked = asked.context("the error does not say which packet it is about")?;
    let (error, from) = message
        .cmsgs()?
        .find_map(|message| match message {
            ControlMessageOwned::Ipv4RecvErr(error, from) => {
                let from = from.map(|from| SockaddrIn::from(from).ip().into());
                Some((error, from))
            }
            ControlMessageOwned::Ipv6RecvErr(error, from) => {
                let from = from.map(|from| SockaddrIn6::from(from).ip().into());
                Some((error, from))
            }
            _ => None,
        })
        .context("the error is not told")?;
    Ok(Traced::Error {
        kind: error.ee_type,
        code: error.ee_code,
        from: from.context("the error does not say who sent it")?,
        asked,
    })
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::new(v4.ip().into(), v4.port())),
        (None, Some(v6)) => Some(SocketAddr::new(v6.ip().into(), v6.port())),
        (None, None) => None,
    }
}
