//! `flood`: very many first packets, each from somebody who never answers.
//!
//! Sources are drawn from a network that is nobody's and routed to this place, which does not forward: the
//! answers come here, are counted by the kernel as to an address that is not ours, and end.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use etherparse::PacketBuilder;
use ipnet::IpNet;
use netproxy_lab::report::FloodReport;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{print, print_ready};

/// Between two looks at how many were answered.
const TURN: u64 = 64;
/// How long to wait for answers that may have been lost.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often to say how far it is.
const PROGRESS: u64 = 100_000;
/// Hops, as hosts have them.
const TTL: u8 = 64;

#[derive(Debug, Args)]
pub(crate) struct Flood {
    /// Whom to flood.
    address: SocketAddr,
    /// With which kind of packet.
    #[arg(long)]
    kind: Kind,
    /// How many packets.
    #[arg(long)]
    count: u64,
    /// The network that sources are drawn from.
    #[arg(long)]
    sources: IpNet,
    /// How many may be unanswered at a time.
    #[arg(long, default_value_t = 128)]
    unanswered: u64,
}

/// What the flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// TCP segments that would open a connection.
    Syn,
    /// UDP datagrams.
    Udp,
}

impl Flood {
    pub(crate) fn run(&self) -> Result<()> {
        let destination = self.address.ip();
        ensure!(
            self.sources.addr().is_ipv4() == destination.is_ipv4(),
            "{} and {destination} are of two families",
            self.sources
        );
        let socket = raw_socket(self.address).context("a raw socket, which needs root")?;
        let mut packet = Vec::new();
        let answers = Answers::begin(destination)?;
        let begin = Instant::now();
        print_ready(Vec::new())?;
        let mut lost = 0;
        for number in 0..self.count {
            if number % TURN == 0 {
                lost = self.wait_for_answers(number, lost, &answers)?;
            }
            if number % PROGRESS == 0 {
                eprintln!("{number} of {} after {:?}", self.count, begin.elapsed());
            }
            packet.clear();
            self.write_packet(&mut packet)?;
            socket.send(&packet).context("send")?;
        }
        self.wait_for_answers(self.count + self.unanswered, lost, &answers)?;
        print(&FloodReport {
            sent: self.count,
            answered: answers.count()?,
            milliseconds: begin.elapsed().as_secs_f64() * 1000.0,
        })
    }

    /// Waits until few enough packets are unanswered; those that nobody answers in time count as lost from
    /// then on.
    fn wait_for_answers(&self, sent: u64, lost: u64, answers: &Answers) -> Result<u64> {
        let begin = Instant::now();
        loop {
            let open = sent.saturating_sub(answers.count()? + lost);
            if open <= self.unanswered {
                return Ok(lost);
            }
            if begin.elapsed() > PATIENCE {
                return Ok(lost + open);
            }
            std::thread::yield_now();
        }
    }

    fn write_packet(&self, packet: &mut Vec<u8>) -> Result<()> {
        let port = fastrand::u16(1024..);
        let to = self.address;
        let builder = match (drawn_from(self.sources), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), TTL)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                PacketBuilder::ipv6(from.octets(), to.octets(), TTL)
            }
            _ => bail!("two families"),
        };
        match self.kind {
            Kind::Syn => builder
                .tcp(port, to.port(), fastrand::u32(..), u16::MAX)
                .syn()
                .write(packet, &[]),
            Kind::Udp => builder.udp(port, to.port()).write(packet, b"?"),
        }
        .context("write a packet")
    }
}

/// A socket that is given packets with their IP headers.
fn raw_socket(to: SocketAddr) -> std::io::Result<Socket> {
    // IPPROTO_RAW (raw(7)): it receives nothing.
    let raw = Protocol::from(255);
    let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(raw))?;
    if to.is_ipv4() {
        socket.set_header_included_v4(true)?;
    } else {
        socket.set_header_included_v6(true)?;
    }
    // Ports mean nothing to a raw socket, and IPv6 refuses them.
    socket.connect(&SocketAddr::new(to.ip(), 0).into())?;
    Ok(socket)
}

/// Any address of a network.
fn drawn_from(network: IpNet) -> IpAddr {
    match network {
        IpNet::V4(network) => {
            let host = fastrand::u32(..) & u32::from(network.hostmask());
            (u32::from(network.network()) | host).to_be_bytes().into()
        }
        IpNet::V6(network) => {
            let host = fastrand::u128(..) & u128::from(network.hostmask());
            (u128::from(network.network()) | host).to_be_bytes().into()
        }
    }
}

/// How many packets have come for somebody else: `InAddrErrors` of RFC 4293, of this network namespace.
struct Answers {
    is_v4: bool,
    before: u64,
}

impl Answers {
    fn begin(to: IpAddr) -> Result<Self> {
        let mut answers = Self {
            is_v4: to.is_ipv4(),
            before: 0,
        };
        answers.before = answers.count()?;
        Ok(answers)
    }

    fn count(&self) -> Result<u64> {
        let all = if self.is_v4 {
            let text = fs::read_to_string("/proc/self/net/snmp").context("/proc/self/net/snmp")?;
            let mut lines = text.lines().filter(|line| line.starts_with("Ip: "));
            let (names, values) = (lines.next(), lines.next());
            let names = names.unwrap_or_default().split(' ');
            let mut pairs = names.zip(values.unwrap_or_default().split(' '));
            let found = pairs.find(|(name, _)| *name == "InAddrErrors");
            found.and_then(|(_, value)| value.parse().ok())
        } else {
            let path = "/proc/self/net/snmp6";
            let text = fs::read_to_string(path).context(path)?;
            let mut lines = text.lines();
            let found = lines.find_map(|line| line.strip_prefix("Ip6InAddrErrors"));
            found.and_then(|value| value.trim().parse().ok())
        };
        let all: u64 = all.context("the kernel does not count InAddrErrors")?;
        Ok(all - self.before)
    }
}
