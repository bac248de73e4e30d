//! `cargo xtask bench`: prepares everything, then becomes the benchmark itself.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::binaries::{self, Profile};
use crate::ebpf::{self, Warnings};
use crate::need;
use crate::setup;
use crate::tools::{self, packaged};
use crate::workspace::Workspace;

/// The benchmark's binary, which owns what the user sees of it.
const BINARY: &str = "netproxy-bench";

/// The benchmark's options, handed on as they are.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Small clusters and one run: a proof that it works, not numbers
    #[arg(long)]
    quick: bool,
    /// Measure these scenarios only: program-full, program-one, agent-start,
    /// agent-memory, agent-scale, cluster-size, clusterip-keepalive, clusterip-short, clusterip-short-sustained,
    /// clusterip-udp, clusterip-bulk, nodeport-local-short, nodeport-remote-short,
    /// nodeport-remote-pps, bystander, first-packet, packet-cost
    #[arg(long, value_name = "SCENARIO,…")]
    only: Vec<String>,
    /// Measure these systems only (direct, netproxy-socket, netproxy-tc, netproxy-xdp,
    /// kube-proxy-nftables, kube-proxy-iptables)
    #[arg(long, value_name = "SYSTEM,…")]
    systems: Option<String>,
    /// Measure clusters with so many services, instead of those that each scenario has for its own
    #[arg(long, value_name = "NUMBER,…")]
    services: Option<String>,
    /// How often each system is measured [default: traffic 16 times, all else 5 times, with --quick once]
    #[arg(long)]
    runs: Option<u16>,
    /// Write docs/benchmarks.md as well, with its pictures: what is measured takes the place of what stands there of the
    /// same scenarios, and docs/benchmarks/log.md ends it
    #[arg(long)]
    publish: bool,
    /// Where results.json, report.md and pictures go [default: target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl BenchArguments {
    fn words(&self) -> Vec<String> {
        let Self {
            quick,
            only,
            systems,
            services,
            runs,
            publish,
            out,
        } = self;
        let switches = [("--quick", quick), ("--publish", publish)];
        let mut words: Vec<_> = switches
            .into_iter()
            .filter(|(_, is_given)| **is_given)
            .map(|(name, _)| name.to_owned())
            .collect();
        let only = only.iter().map(|it| ("--only", Some(it.clone())));
        let options = only.chain([
            ("--systems", systems.clone()),
            ("--services", services.clone()),
            ("--runs", runs.map(|it| it.to_string())),
            ("--out", out.as_ref().map(|it| it.display().to_string())),
        ]);
        let given = options.filter_map(|(name, value)| Some([name.to_owned(), value?]));
        words.extend(given.flatten());
        words
    }
}

/// Sets up, builds with optimisations, and replaces this process by the benchmark. Returns only if
/// that fails.
pub(crate) fn run(workspace: &Workspace, arguments: &BenchArguments) -> Result<Infallible> {
    ebpf::build(workspace, Warnings::Shown)?;
    tools::install(workspace)?;
    setup::provide(workspace, need::BENCHMARK)?;
    packaged::install(workspace, &packaged::NGINX)?;
    binaries::build(workspace, Profile::Release)?;
    let mut command = Command::new(workspace.release_binary(BINARY));
    command
        .current_dir(workspace.root())
        .args(arguments.words());
    Err(command.exec()).with_context(|| format!("cannot run {BINARY}"))
}
