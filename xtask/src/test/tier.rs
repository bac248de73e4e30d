//! The tiers: what each runs and what it needs beyond the eBPF programs.

use std::fmt;
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use super::differential::Differential;
use super::kernel;
use super::tally::Tally;
use crate::demo;
use crate::toolchain::host_cargo;
use crate::workspace::Workspace;

/// Labs that are up at the same time. Each runs several agents and loads programs of its own: more
/// of them measure the machine's load, not netproxy.
const LABS: &str = "--test-threads=2";

/// A kind of test, from the cheapest to the most real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    /// The user-space code on its own; needs no privileges
    Unit,
    /// The compiled programs on crafted packets, through the kernel's test run
    Program,
    /// Nodes, pods and clients in network namespaces, and real traffic
    Lab,
    /// The container image of the binary: that it is whole, small and starts
    Image,
    /// The lab against a real etcd and kube-apiserver
    ControlPlane,
    /// The programs and a part of the lab on Linux 6.1, the oldest kernel, in an emulated machine
    Kernel,
    /// netproxy beside kube-proxy on random clusters: the same probes must see the same
    Differential,
    /// The demo against a real kube-apiserver, as a user runs it
    #[value(skip)]
    Demo,
}

impl Tier {
    /// Those of the whole run.
    pub(crate) const ALL: [Self; 8] = [
        Self::Unit,
        Self::Program,
        Self::Lab,
        Self::Image,
        Self::ControlPlane,
        Self::Kernel,
        Self::Differential,
        Self::Demo,
    ];

    /// Runs netproxy and the lab's own binaries, optimised.
    pub(crate) fn needs_binaries(self) -> bool {
        !matches!(self, Self::Unit | Self::Program)
    }

    /// Runs the components that `cargo xtask tools` builds.
    pub(crate) fn needs_control_plane(self) -> bool {
        matches!(self, Self::ControlPlane | Self::Differential | Self::Demo)
    }

    /// What runs the tier. Everything but the unit tests is built in release, as the binaries are.
    pub(crate) fn command(self, workspace: &Workspace, options: &Differential) -> Result<Command> {
        let arguments: &[&str] = match self {
            Self::Unit => &[
                "--no-fail-fast",
                "--package=netproxy",
                "--package=netproxy-common",
                "--package=xtask",
                "--lib",
                "--bins",
            ],
            // The command line is run on a real datapath, too.
            Self::Program => &[
                "--release",
                "--no-fail-fast",
                "--package=netproxy-tests",
                "--package=netproxy",
                "--test=program",
                "--test=command_line",
            ],
            // The lab's own unit tests belong to it.
            Self::Lab => &[
                "--release",
                "--no-fail-fast",
                "--package=netproxy-tests",
                "--lib",
                "--bins",
                "--test=lab",
                "--",
                LABS,
            ],
            // Those of its parts need no binary, and belong to the unit tests.
            Self::Image => &["--package=xtask", "--bins", "--", "--ignored", "image::"],
            Self::ControlPlane => &[
                "--release",
                "--package=netproxy-tests",
                "--test=control_plane",
                "--",
                LABS,
            ],
            Self::Kernel => return kernel::command(workspace),
            Self::Differential => return Ok(options.command(workspace)),
            Self::Demo => return Ok(demo::command(workspace, &["--source", "kubernetes"])),
        };
        let mut command = host_cargo(workspace);
        command.arg("test").args(arguments);
        Ok(command)
    }

    /// The tests that a line of the tier's output reports.
    pub(crate) fn count(self, line: &str) -> Tally {
        match self {
            Self::Differential | Self::Demo => Tally::of_closing_line(line),
            _ => Tally::of_libtest(line),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unit => "unit",
            Self::Program => "program",
            Self::Lab => "lab",
            Self::Image => "image",
            Self::Kernel => "kernel",
            Self::ControlPlane => "control-plane",
            Self::Differential => "differential",
            Self::Demo => "demo",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_shown_as_it_is_typed() {
        for tier in Tier::value_variants() {
            let typed = tier.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(tier.to_string(), typed);
        }
    }

    #[test]
    fn the_whole_run_has_every_tier_that_can_be_named() {
        for tier in Tier::value_variants() {
            assert!(Tier::ALL.contains(tier), "{tier}");
        }
    }
}
