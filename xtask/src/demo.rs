//! `cargo xtask demo`: prepares everything, then becomes the demo itself.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::binaries::{self, Profile};
use crate::ebpf::{self, Warnings};
use crate::tools;
use crate::workspace::Workspace;

/// The demo's binary, which owns everything the user sees of it.
pub(crate) const BINARY: &str = "netproxy-demo";

/// The demo's options, handed on as they are.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Leave the lab up, and print commands worth trying in it
    #[arg(long, conflicts_with = "down")]
    keep: bool,
    /// Remove a lab that --keep has left
    #[arg(long)]
    down: bool,
    /// Where the Services come from
    #[arg(long, value_enum, default_value_t = Source::Manifests)]
    source: Source,
}

/// Where the demo's Services come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// A directory of ordinary manifests
    Manifests,
    /// A real etcd and kube-apiserver
    Kubernetes,
}

impl DemoArguments {
    fn words(&self) -> Vec<&'static str> {
        let mut words = Vec::new();
        if self.keep {
            words.push("--keep");
        }
        if self.down {
            words.push("--down");
        }
        words.extend(match self.source {
            Source::Manifests => ["--source", "manifests"],
            Source::Kubernetes => ["--source", "kubernetes"],
        });
        words
    }
}

/// Sets up, builds, and replaces this process by the demo: its exit code and its reaction to
/// signals are the demo's own. Returns only if that fails.
pub(crate) fn run(workspace: &Workspace, arguments: &DemoArguments) -> Result<Infallible> {
    ebpf::build(workspace, Warnings::Shown)?;
    if arguments.source == Source::Kubernetes {
        tools::install(workspace)?;
    }
    binaries::build(workspace, Profile::Release)?;
    let error = command(workspace, &arguments.words()).exec();
    Err(error).with_context(|| format!("cannot run {BINARY}"))
}

/// The demo with `arguments`; it must have been built.
pub(crate) fn command(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new(workspace.release_binary(BINARY));
    command.current_dir(workspace.root()).args(arguments);
    command
}
