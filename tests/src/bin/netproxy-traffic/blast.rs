//! `blast`: datagrams of flows that are answered once, as fast as they can be sent.

use std::{
    io::{ErrorKind, IoSlice},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use netproxy_lab::report::BlastReport;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg},
};

use crate::print;

/// How many datagrams go to the kernel at once.
const BATCH: usize = 64;
/// What is in each; who is greeted answers, and says nothing to the rest.
const GREETING: &[u8] = b"greeting";
const PAYLOAD: &[u8] = b"datagram";
/// How long the answer to a greeting may take, and how often one is sent.
const PATIENCE: Duration = Duration::from_millis(200);
const GREETINGS: u32 = 50;

#[derive(Debug, Args)]
pub(crate) struct Blast {
    /// Where to.
    address: SocketAddr,
    /// From how many sockets.
    #[arg(long, default_value_t = 64)]
    flows: usize,
    /// For how long.
    #[arg(long)]
    seconds: u64,
}

impl Blast {
    pub(crate) fn run(&self) -> Result<()> {
        let sockets: Vec<_> = (0..self.flows)
            .map(|_| self.greet())
            .collect::<Result<_>>()?;
        let parts = [IoSlice::new(PAYLOAD)];
        let batch = vec![&parts[..]; BATCH];
        let nobody: Vec<Option<SockaddrStorage>> = vec![None; BATCH];
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
        let (length, began) = (Duration::from_secs(self.seconds), Instant::now());
        let mut sent = 0;
        while began.elapsed() < length {
            for socket in &sockets {
                let fd = socket.as_raw_fd();
                let flags = MsgFlags::empty();
                match sendmmsg(fd, &mut headers, batch.iter(), &nobody[..], [], flags) {
                    Ok(results) => sent += u64::try_from(results.count())?,
                    // The queue is full, or somebody told us that nobody reads.
                    Err(Errno::ENOBUFS | Errno::EAGAIN | Errno::ECONNREFUSED) => {}
                    Err(error) => return Err(error).context("send"),
                }
            }
        }
        print(&BlastReport {
            sent,
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    /// A socket whose flow has been answered.
    fn greet(&self) -> Result<UdpSocket> {
        let any: IpAddr = match self.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).context("a socket")?;
        socket.connect(self.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        for _ in 0..GREETINGS {
            socket.send(GREETING).context("greet")?;
            match socket.recv(&mut [0; 16]) {
                Ok(_) => return Ok(socket),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("the answer to a greeting"),
            }
        }
        bail!("{} does not answer a greeting", self.address)
    }
}
