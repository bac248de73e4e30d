//! `exchange`: one request after the other, each timed, by a thread that does nothing else.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use netproxy_lab::report::ExchangeReport;

use crate::print;

/// How many questions a UDP socket asks, as a resolver's might.
const QUESTIONS: u32 = 16;
/// After a failure.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Debug, Args)]
pub(crate) struct Exchange {
    /// Whom to ask.
    address: SocketAddr,
    /// By UDP, whatever it is, 16 times from each socket; else by HTTP, each time over a new connection.
    #[arg(long)]
    udp: bool,
    /// For how long.
    #[arg(long)]
    seconds: u64,
    /// How long an answer may take.
    #[arg(long, default_value_t = 1000)]
    timeout_ms: u64,
}

impl Exchange {
    pub(crate) fn run(&self) -> Result<()> {
        let mut times_ns = Histogram::<u64>::new(3)?;
        let mut failed = 0;
        let (length, began) = (Duration::from_secs(self.seconds), Instant::now());
        while began.elapsed() < length {
            if self.udp {
                failed += self.ask_by_udp(&mut times_ns)?;
                continue;
            }
            let asked = Instant::now();
            match self.ask_by_http() {
                Ok(()) => record(&mut times_ns, asked)?,
                Err(error) => {
                    failed += 1;
                    eprintln!("{error:#}");
                    std::thread::sleep(PAUSE);
                }
            }
        }
        let quantile = |part| times_ns.value_at_quantile(part);
        print(&ExchangeReport {
            answered: times_ns.len(),
            failed,
            seconds: began.elapsed().as_secs_f64(),
            p50_ns: quantile(0.5),
            p99_ns: quantile(0.99),
            max_ns: times_ns.max(),
        })
    }

    /// Answers with how many questions were not answered.
    fn ask_by_udp(&self, times_ns: &mut Histogram<u64>) -> Result<u64> {
        let any: IpAddr = match self.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).context("a socket")?;
        socket.set_read_timeout(Some(Duration::from_millis(self.timeout_ms)))?;
        let mut failed = 0;
        for question in 0..QUESTIONS {
            let question = question.to_ne_bytes();
            let mut answer = [0; 64];
            let asked = Instant::now();
            let sent = socket.send_to(&question, self.address);
            match sent.and_then(|_| socket.recv_from(&mut answer)) {
                Ok((4, from)) if from == self.address && answer[..4] == question => {
                    record(times_ns, asked)?;
                }
                _ => failed += 1,
            }
        }
        Ok(failed)
    }

    fn ask_by_http(&self) -> Result<()> {
        let longest = Duration::from_millis(self.timeout_ms);
        let mut stream = TcpStream::connect_timeout(&self.address, longest)?;
        stream.set_read_timeout(Some(longest))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.address
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "not HTTP's answer");
        Ok(())
    }
}

fn record(times_ns: &mut Histogram<u64>, since: Instant) -> Result<()> {
    Ok(times_ns.record(u64::try_from(since.elapsed().as_nanos())?)?)
}
