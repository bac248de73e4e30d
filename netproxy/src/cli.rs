//! The command line: what it accepts, and who answers.
//!
//! One file per command, named by what it shows. The viewing commands read pinned maps, so they
//! work with or without an agent. Exit codes: 0; 1 for an error, or a problem found by `check`;
//! 2 for wrong usage.

mod check;
mod cleanup;
mod clients;
mod completions;
mod counters;
mod drops;
mod endpoints;
pub(crate) mod error;
mod explain;
mod flows;
mod init;
mod live;
mod log;
mod maps;
mod monitor;
mod named_port;
mod run;
mod service_name;
mod services;
mod stream;
mod table;
mod top;
mod trace;

use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use netproxy::datapath::{Pins, View};
use netproxy::terminate;

use self::table::Listing;

const EXAMPLES: &str = "\
Examples:
  netproxy run --node-name worker-1   serve this node, objects from the API server
  netproxy check                      what stands in netproxy's way on this node
  netproxy services                   every service port that this node serves
  netproxy endpoints default/web      who answers for it, and to whom
  netproxy explain shop/cart          why these endpoints, and not the others
  netproxy flows --client 10.0.0.7    what a client is connected to
  netproxy drops                      who was not served, and why
  netproxy monitor --drops            the same as it happens
  netproxy top                        what is going on, by service
  netproxy trace 10.0.0.7 shop/cart   what becomes of a client's packet, and why
  netproxy services -o json | jq '.[] | select(.endpoints.total == 0) | .name'

`netproxy COMMAND --help` tells more, with examples.";

/// An eBPF replacement for kube-proxy that works with any CNI.
#[derive(Debug, Parser)]
#[command(name = "netproxy", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The BPF file system below which everything is pinned
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "NETPROXY_BPFFS",
        default_value = "/sys/fs/bpf"
    )]
    bpffs: PathBuf,
    #[command(flatten)]
    log: log::LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve this node's service traffic
    Run(Box<run::RunArgs>),
    /// List the service ports that the datapath serves
    Services(services::ServicesArgs),
    /// List the endpoints of services, and which clients may use them
    Endpoints(endpoints::EndpointsArgs),
    /// Tell why a service's endpoints are used or not, and by whom
    Explain(explain::ExplainArgs),
    /// List the flows that are being translated
    Flows(flows::FlowsArgs),
    /// List what was not served, and why, by service
    Drops(drops::DropsArgs),
    /// Tell what happens as it happens: new flows, drops, refusals
    Monitor(monitor::MonitorArgs),
    /// Show what is going on by service, live
    Top(top::TopArgs),
    /// Tell what becomes of a packet, by running it through the programs in force
    Trace(trace::TraceArgs),
    /// Show what the programs have counted
    Counters(counters::CountersArgs),
    /// Show how full the flow table is
    Maps(maps::MapsArgs),
    /// Tell what stands in netproxy's way on this node
    Check(check::CheckArgs),
    /// Give this node what it lacks before the agent starts: mounts, and forwarding
    Init(init::InitArgs),
    /// Remove every program, map and pin of netproxy from this node
    Cleanup(cleanup::CleanupArgs),
    /// Print what a shell needs to complete this command line
    Completions(completions::CompletionsArgs),
    /// Write man pages
    Man(completions::ManArgs),
    /// End the sockets that the agent names on standard input; the agent starts it
    #[command(name = terminate::COMMAND, hide = true)]
    TerminateSockets,
}

impl Cli {
    /// Does what was asked; yields the exit code.
    ///
    /// # Errors
    /// What went wrong, for [`error::line`].
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self {
            global: Global { bpffs, log },
            command,
        } = self;
        // The agent's configuration has a say in its log.
        if !matches!(command, Command::Run(_)) {
            log.init(log::LogWish::default())?;
        }
        if matches!(command, Command::TerminateSockets) {
            terminate::serve(io::stdin().lock(), io::stdout().lock())
                .context("sockets can no longer be ended")?;
            return Ok(ExitCode::SUCCESS);
        }
        let pins = Pins::new(&bpffs);
        let mut out = BufWriter::new(io::stdout().lock());
        let mut list = Listing::new(&mut out, table::terminal_width());
        let mut code = ExitCode::SUCCESS;
        match command {
            Command::Run(args) => args.run(&bpffs, log, &mut list)?,
            Command::Services(args) => args.run(&View::open(&pins)?, &mut list)?,
            Command::Endpoints(args) => args.run(&View::open(&pins)?, &mut list)?,
            Command::Explain(args) => args.run(&pins, &mut list)?,
            Command::Flows(args) => args.run(&View::open(&pins)?, &mut list)?,
            Command::Drops(args) => args.run(&View::open(&pins)?, &mut list)?,
            Command::Monitor(args) => args.run(&View::open(&pins)?, &mut list)?,
            Command::Top(args) => args.run(&View::open(&pins)?, &mut list)?,
            Command::Trace(args) => args.run(&pins, &mut list)?,
            Command::Counters(args) => args.run(&View::open(&pins)?, &mut list)?,
            Command::Maps(args) => args.run(&View::open(&pins)?, &mut list)?,
            Command::Check(args) => code = args.run(&bpffs, &mut list)?,
            Command::Init(args) => args.run(&bpffs, &mut list)?,
            Command::Cleanup(args) => args.run(&pins, &mut list)?,
            Command::Completions(args) => args.run(&mut list)?,
            Command::Man(args) => args.run(&mut list)?,
            Command::TerminateSockets => {}
        }
        list.finish()?;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_may_follow_the_command() {
        let cli = Cli::try_parse_from(["netproxy", "services", "--bpffs", "/run/bpf"]).unwrap();

        assert_eq!(cli.global.bpffs, PathBuf::from("/run/bpf"));
    }
}
