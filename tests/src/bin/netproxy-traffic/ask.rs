//! `ask`: one datagram after the other.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use netproxy_lab::report::{Answer, Attempt};
use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};

use crate::print;

#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// Whom to ask; of several of one family, one after the other.
    #[arg(required = true)]
    addresses: Vec<SocketAddr>,
    /// How many times each.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// Ask every time from the same socket.
    #[arg(long)]
    same_socket: bool,
    /// Ask every time from the same socket, which is connected.
    #[arg(long)]
    connected: bool,
    /// How long to wait for each answer.
    #[arg(long, default_value_t = 2000)]
    timeout_ms: u64,
    /// How long to wait between an answer and the next question.
    #[arg(long, default_value_t = 0)]
    interval_ms: u64,
    /// How long each question is at least, in bytes.
    #[arg(long, default_value_t = 0)]
    bytes: usize,
    /// The address and port to ask from; port 0 is any.
    #[arg(long, value_name = "ADDRESS:PORT")]
    from: Option<SocketAddr>,
}

impl Ask {
    pub(crate) async fn run(self) -> Result<()> {
        ensure!(
            !self.connected || self.addresses.len() == 1,
            "a socket is connected to one address"
        );
        let longest = Duration::from_millis(self.timeout_ms);
        let mut kept = None;
        let all = (0..self.count).flat_map(|_| &self.addresses);
        for (number, &address) in all.enumerate() {
            if number > 0 && self.interval_ms > 0 {
                sleep(Duration::from_millis(self.interval_ms)).await;
            }
            let socket = match kept.take() {
                Some(socket) => socket,
                None => self.open(address).await?,
            };
            // Every question is another one: a late answer to the last is no answer to this.
            let question = format!("{number}:{}", filling(self.bytes));
            let begin = Instant::now();
            let result = timeout(longest, self.attempt(&socket, address, &question))
                .await
                .unwrap_or_else(|_| Err(anyhow!("no answer within {} ms", self.timeout_ms)));
            let milliseconds = begin.elapsed().as_secs_f64() * 1000.0;
            print(&match result {
                Ok((answer, peer)) => {
                    let local = socket.local_addr()?;
                    Attempt::Answered {
                        answer,
                        local,
                        peer,
                        milliseconds,
                    }
                }
                Err(error) => Attempt::Failed {
                    error: format!("{error:#}"),
                    milliseconds,
                },
            })?;
            kept = (self.same_socket || self.connected).then_some(socket);
        }
        Ok(())
    }

    async fn open(&self, address: SocketAddr) -> Result<UdpSocket> {
        let any = if address.is_ipv4() {
            SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)
        } else {
            SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)
        };
        let from = self.from.unwrap_or(any);
        UdpSocket::bind(from)
            .await
            .with_context(|| format!("bind to {from}"))
    }

    async fn attempt(
        &self,
        socket: &UdpSocket,
        address: SocketAddr,
        question: &str,
    ) -> Result<(Answer, SocketAddr)> {
        if self.connected {
            if socket.peer_addr().is_err() {
                socket.connect(address).await?;
            }
            socket.send(question.as_bytes()).await?;
        } else {
            socket.send_to(question.as_bytes(), address).await?;
        }
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let (length, source) = socket.recv_from(&mut buffer).await?;
            let answer: Answer = serde_json::from_slice(&buffer[..length])
                .context("not an answer of netproxy-traffic")?;
            if answer.payload.as_deref() == Some(question) {
                let peer = if self.connected {
                    socket.peer_addr()?
                } else {
                    source
                };
                return Ok((answer, peer));
            }
        }
    }
}

/// So many characters, in which nothing can be swapped unnoticed.
fn filling(length: usize) -> String {
    let numbers = (0..).flat_map(|number: u32| format!("{number} ").into_bytes());
    numbers.take(length).map(char::from).collect()
}
