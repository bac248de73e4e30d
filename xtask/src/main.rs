//! `cargo xtask`: set-up, builds, demo, tests and benchmark. This file owns the command line, nothing else.

mod bench;
mod binaries;
mod command;
mod demo;
mod distribution;
mod ebpf;
mod emulated;
mod fuzz;
mod image;
mod kernel;
mod linker;
mod llvm;
mod need;
mod setup;
mod stamp;
mod test;
mod toolchain;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::bench::BenchArguments;
use crate::binaries::Profile;
use crate::demo::DemoArguments;
use crate::ebpf::Warnings;
use crate::fuzz::FuzzArguments;
use crate::image::Name;
use crate::test::{Differential, Tier};
use crate::workspace::Workspace;

/// netproxy's set-up, builds, demo, tests and benchmark.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what builds and tests need: packages, a compiler for eBPF, bpf-linker
    Setup,
    /// Build the pinned etcd, Kubernetes components and helm under target/tools/control-plane/bin, and
    /// unpack Prometheus there
    Tools,
    /// Build the eBPF programs to target/ebpf/netproxy-ebpf
    BuildEbpf {
        /// Fail on the compiler's warnings
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Build the eBPF programs, netproxy and the binaries of the lab
    Build {
        /// Build with optimisations, to target/release
        #[arg(long)]
        release: bool,
        /// Also a netproxy-other-layout, for the lab's tests of upgrades
        #[arg(long)]
        other_layout: bool,
    },
    /// Pack netproxy in a container image, as an archive under target/image
    Image {
        /// What to call it
        #[arg(long, default_value_t)]
        name: Name,
    },
    /// Raise the demo: two nodes, pods and a client in network namespaces, and real traffic
    Demo(DemoArguments),
    /// Run a command on Linux 6.1, in an emulated machine that sees the files of this one
    Emulate {
        /// The command, and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Hand random and hostile packets to the programs, and judge what becomes of them
    Fuzz(FuzzArguments),
    /// Run the tests, all tiers and the demo unless one tier is named
    Test {
        /// The one tier to run
        tier: Option<Tier>,
        #[command(flatten)]
        differential: Differential,
    },
    /// Measure netproxy and kube-proxy on a real API server, and write target/bench/report.md
    Bench(BenchArguments),
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        // Not by returning it: that would print a backtrace, of a failure that is not in here.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    command::await_children_on_interrupt()?;
    let workspace = Workspace::locate()?;
    match Arguments::parse().task {
        Task::Setup => {
            setup::run(&workspace)?;
            println!("This machine has what builds, demo and tests need.");
        }
        Task::Tools => {
            tools::install(&workspace)?;
            let bin = workspace.control_plane_tools().join("bin");
            println!("The control-plane components are in {}.", bin.display());
        }
        Task::BuildEbpf { deny_warnings } => {
            ebpf::build(&workspace, Warnings::denied_if(deny_warnings))?;
        }
        Task::Build {
            release,
            other_layout,
        } => {
            let profile = if release {
                Profile::Release
            } else {
                Profile::Dev
            };
            ebpf::build(&workspace, Warnings::Shown)?;
            if other_layout {
                binaries::build_other_layout(&workspace, profile)?;
            }
            binaries::build(&workspace, profile)?;
        }
        Task::Image { name } => {
            let archive = image::run(&workspace, &name)?;
            println!("{name} is in {}.", archive.display());
        }
        Task::Demo(arguments) => match demo::run(&workspace, &arguments)? {},
        Task::Emulate { command } => return emulated::run(&workspace, &command),
        Task::Fuzz(arguments) => match fuzz::run(&workspace, &arguments)? {},
        Task::Test { tier, differential } => {
            return test::run(&workspace, tier, &differential);
        }
        Task::Bench(arguments) => match bench::run(&workspace, &arguments)? {},
    }
    Ok(ExitCode::SUCCESS)
}
