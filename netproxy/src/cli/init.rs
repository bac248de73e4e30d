//! `netproxy init`: what a node gets before the agent starts.

use std::path::{Path, PathBuf};

use clap::Args;
use netproxy::init::{self, InitOptions, Outcome, Step};
use serde::Serialize;

use super::table::{Cell, Listing, OutputArgs, Row};

const DETAILS: &str = "\
Every line is one of
  kept      as it was: nothing was to be done
  done      it was not so before
  FAILED    why it could not be done
and the exit code is 0 whatever they say: the agent starts, and tells what it lacks.

Seen to are the BPF file system (--bpffs), a cgroup v2 hierarchy if none is mounted
(/run/netproxy/cgroup), net.core.bpf_jit_enable and net.ipv4.ip_forward. Settings are switched on
where they are 0, and never lowered.

With -o json, an array of objects: subject, outcome (kept, done, failed), told.

Examples:
  netproxy init
  netproxy init --mount-namespace /proc/1/ns/mnt   from a container, for the node";

/// What to see to.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct InitArgs {
    /// Do it in this mount namespace; in a container with the node's pid namespace, the node's is
    /// /proc/1/ns/mnt
    #[arg(long, value_name = "FILE")]
    mount_namespace: Option<PathBuf>,
    /// Switch on net.ipv6.conf.all.forwarding, too. A node that learns its default route from router
    /// advertisements loses it then, unless its `accept_ra` is 2
    #[arg(long)]
    ipv6_forwarding: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl InitArgs {
    pub(super) fn run(self, bpffs: &Path, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let Self {
            mount_namespace,
            ipv6_forwarding,
            output,
        } = self;
        let steps = init::run(&InitOptions {
            mount_namespace,
            bpffs: bpffs.to_owned(),
            forwards_ipv6: ipv6_forwarding,
            ..InitOptions::default()
        });
        let rows: Vec<_> = steps.iter().map(StepRow::from).collect();
        list.rows(output.output, &rows, "nothing was seen to")
    }
}

/// One step.
#[derive(Debug, Serialize)]
struct StepRow<'a> {
    subject: &'static str,
    outcome: &'static str,
    told: &'a str,
}

impl<'a> From<&'a Step> for StepRow<'a> {
    fn from(step: &'a Step) -> Self {
        let Step {
            subject,
            outcome,
            told,
        } = step;
        Self {
            subject,
            outcome: match outcome {
                Outcome::Kept => "kept",
                Outcome::Done => "done",
                Outcome::Failed => "failed",
            },
            told,
        }
    }
}

impl Row for StepRow<'_> {
    const HEAD: &'static [&'static str] = &[];
    const IS_PROSE: bool = true;

    fn cells(&self) -> Vec<Cell> {
        let Self {
            subject,
            outcome,
            told,
        } = self;
        let mark = match *outcome {
            "failed" => outcome.to_uppercase(),
            quiet => quiet.to_owned(),
        };
        vec![mark.into(), (*subject).into(), (*told).into()]
    }
}
