//! `cargo xtask fuzz`: the program tier's hostile packets, as many as wanted, and one of them again.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::ebpf::{self, Warnings};
use crate::toolchain::host_cargo;
use crate::workspace::Workspace;

/// What the test takes its options from, and cannot have on its command line.
const PACKETS: &str = "NETPROXY_FUZZ_PACKETS";
const SEED: &str = "NETPROXY_FUZZ_SEED";
const REPLAY: &str = "NETPROXY_FUZZ_REPLAY";

/// The options of a run.
#[derive(Debug, Args)]
pub(crate) struct FuzzArguments {
    /// How many packets to hand to the programs
    #[arg(long, default_value_t = 10_000_000)]
    packets: u64,
    /// The seed of the packets, instead of a fresh one
    #[arg(long)]
    seed: Option<u64>,
    /// Show what becomes of the packet of this number, after those of its round that come before it
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "seed",
        conflicts_with = "packets"
    )]
    replay: Option<u64>,
}

/// Builds, and replaces this process by the run. Returns only if that fails.
pub(crate) fn run(workspace: &Workspace, arguments: &FuzzArguments) -> Result<Infallible> {
    ebpf::build(workspace, Warnings::Shown)?;
    let mut command = host_cargo(workspace);
    command
        .args([
            "test",
            "--release",
            "--package=netproxy-tests",
            "--test=program",
        ])
        .args([
            "--",
            "--ignored",
            "--exact",
            "--nocapture",
            "fuzz::at_length",
        ])
        .env(PACKETS, arguments.packets.to_string());
    for (name, value) in [(SEED, arguments.seed), (REPLAY, arguments.replay)] {
        match value {
            Some(value) => command.env(name, value.to_string()),
            None => command.env_remove(name),
        };
    }
    Err(command.exec()).context("cargo cannot be run")
}
