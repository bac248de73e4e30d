//! Servers and clients for tests and demos, which say who answered whom.
//!
//! Results are JSON, one object a line, as [`netproxy_lab::report`] describes them. A request that
//! fails is a result; the exit status is only about the program itself.

mod ask;
mod bytes;
mod connection;
mod crowd;
mod exchange;
mod fetch;
mod flood;
mod get;
mod hold;
mod http_server;
mod load;
mod probe;
mod sctp;
mod serve;
mod talk;
mod trace;
mod transfer;
mod udp_server;

use std::{io::Write, net::SocketAddr};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;

/// Servers and clients that say who answered whom, as JSON.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP, by TCP and SCTP, and UDP, on IPv4 and IPv6.
    Serve(serve::Serve),
    /// Get a URL a number of times.
    Get(get::Get),
    /// Get a URL of any server and say what it answers, whatever the status.
    Fetch(fetch::Fetch),
    /// Ask by UDP a number of times, one address or several in turn.
    Ask(ask::Ask),
    /// Ask once from each of very many UDP sockets, and hold them (until SIGTERM, SIGINT).
    Crowd(crowd::Crowd),
    /// Ask one request after the other for a time, each timed to the nanosecond.
    Exchange(exchange::Exchange),
    /// Send very many first packets from sources that never answer.
    Flood(flood::Flood),
    /// Send one datagram of few hops, and say which ICMP error the socket is told of.
    Trace(trace::Trace),
    /// Get many bytes from a server and compare hashes.
    Download(transfer::Download),
    /// Send many bytes to a server and compare hashes.
    Upload(transfer::Upload),
    /// Get a URL again and again, and report at the end (SIGTERM, SIGINT, or a time).
    Load(load::Load),
    /// Hold one connection with a request every now and then, and report when it breaks or at the
    /// end (SIGTERM, SIGINT).
    Hold(hold::Hold),
    /// Talk by UDP, each time to one endpoint, and report at the end (SIGTERM, SIGINT).
    Talk(talk::Talk),
    /// Do what standard input orders, a batch a line, until it ends.
    Probe,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Serve(serve) => serve.run().await,
        Command::Get(get) => get.run().await,
        Command::Fetch(fetch) => fetch.run().await,
        Command::Ask(ask) => ask.run().await,
        Command::Crowd(crowd) => crowd.run().await,
        Command::Exchange(exchange) => exchange.run(),
        Command::Flood(flood) => flood.run(),
        Command::Trace(trace) => trace.run(),
        Command::Download(download) => download.run().await,
        Command::Upload(upload) => upload.run().await,
        Command::Load(load) => load.run().await,
        Command::Hold(hold) => hold.run().await,
        Command::Talk(talk) => talk.run().await,
        Command::Probe => probe::run().await,
    }
}

/// Prints one line of JSON, at once.
fn print(value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    std::io::stdout()
        .write_all(&line)
        .context("standard output")
}

/// Says that the program is at work.
fn print_ready(addresses: Vec<SocketAddr>) -> Result<()> {
    print(&netproxy_lab::report::Ready { ready: addresses })
}

/// Waits until somebody asks the program to end.
async fn stopped() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
