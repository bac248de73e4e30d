//! `crowd`: very many sockets, open at once.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::{print_ready, stopped};

/// Descriptors beside the sockets.
const OTHERS: u64 = 1000;
/// No socket reads its answer.
const RECEIVE_BYTES: usize = 1;

#[derive(Debug, Args)]
pub(crate) struct Crowd {
    /// Whom each asks once.
    address: SocketAddr,
    /// How many.
    #[arg(long)]
    sockets: u64,
    /// Connect each.
    #[arg(long)]
    connected: bool,
}

impl Crowd {
    /// Opens UDP sockets, sends a datagram from each, and holds them until stopped.
    pub(crate) async fn run(self) -> Result<()> {
        let wanted = self.sockets + OTHERS;
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(most), most)?;
        ensure!(
            wanted <= most,
            "{wanted} open files are needed and {most} allowed: ulimit -Hn {wanted}"
        );
        let sockets = (0..self.sockets)
            .map(|_| self.open())
            .collect::<Result<Vec<_>>>()?;
        for socket in &sockets {
            let sent = if self.connected {
                socket.connect(&self.address.into()).context("connect")?;
                socket.send(b"one of many")
            } else {
                socket.send_to(b"one of many", &self.address.into())
            };
            ensure!(sent.context("send")? > 0, "nothing was sent");
        }
        print_ready(Vec::new())?;
        stopped().await
    }

    /// There are more sockets than ports, so they share them.
    fn open(&self) -> Result<Socket> {
        let any = if self.address.is_ipv4() {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        };
        let socket = Socket::new(Domain::for_address(self.address), Type::DGRAM, None)?;
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        socket.set_reuse_address(true)?;
        socket.bind(&any.into()).context("bind")?;
        Ok(socket)
    }
}
