//! Labs by hand: bring one up, list them, remove one that was kept.

use std::{path::PathBuf, str::FromStr};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use netproxy_lab::{
    Cni, Lab,
    run_dir::{self, Record},
    watchdog,
};
use nix::sys::signal::{SigSet, Signal};

/// Labs of netproxy: nodes, pods and clients as network namespaces on this machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a lab up, and hold it until this command ends (Ctrl-C).
    Up {
        /// Its name, which has to be free.
        name: String,
        /// The nodes, with the shape of their pod network (bridge, point-to-point, vxlan) and pods.
        #[arg(value_name = "NODE=SHAPE[:POD,…]", required = true)]
        nodes: Vec<NodeWord>,
        /// A machine outside of the cluster; may be given several times.
        #[arg(long)]
        client: Vec<String>,
        /// Leave it up, and end this command.
        #[arg(long)]
        keep: bool,
    },
    /// List the labs there are, with the addresses and namespaces of their places.
    List,
    /// Remove a lab that was kept.
    Remove {
        /// Its id, as `list` shows it.
        id: String,
    },
    /// Wait for the end of standard input, then remove the lab (labs start this by themselves).
    #[command(hide = true)]
    Watch {
        /// The lab's run directory.
        directory: PathBuf,
    },
}

/// `a=bridge:web,shell`
#[derive(Clone, Debug)]
struct NodeWord {
    name: String,
    cni: Cni,
    pods: Vec<String>,
}

impl FromStr for NodeWord {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let (name, rest) = word.split_once('=').context("no shape: write NODE=SHAPE")?;
        let (cni, pods) = rest.split_once(':').unwrap_or((rest, ""));
        let pods = pods
            .split(',')
            .filter(|pod| !pod.is_empty())
            .map(str::to_owned)
            .collect();
        Ok(Self {
            name: name.to_owned(),
            cni: cni.parse()?,
            pods,
        })
    }
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Up {
            name,
            nodes,
            client,
            keep,
        } => up(&name, nodes, &client, keep),
        Command::List => list(),
        Command::Remove { id } => Lab::remove(&id),
        Command::Watch { directory } => watchdog::watch(&directory),
    }
}

fn up(name: &str, nodes: Vec<NodeWord>, clients: &[String], is_kept: bool) -> Result<()> {
    let mut builder = Lab::only(name);
    for NodeWord { name, cni, pods } in nodes {
        builder = pods
            .iter()
            .fold(builder.node(&name, cni), |builder, pod| builder.pod(pod));
    }
    builder = clients
        .iter()
        .fold(builder, |builder, client| builder.client(client));
    let lab = builder.up()?;
    run_dir::list()?
        .iter()
        .filter(|record| record.id == lab.id())
        .for_each(show);
    if is_kept {
        return lab.keep();
    }
    let ends = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    ends.thread_block().context("block signals")?;
    ends.wait().context("wait for a signal")?;
    drop(lab);
    Ok(())
}

fn list() -> Result<()> {
    run_dir::list()?.iter().for_each(show);
    Ok(())
}

fn show(lab: &Record) {
    let kept = if lab.kept { ", kept" } else { "" };
    println!("{} (process {}{kept})", lab.id, lab.owner);
    for place in &lab.places {
        println!(
            "  {:7} {:12} {:15} {:20} nsenter --net=/run/netns/{}",
            place.kind, place.name, place.addresses.v4, place.addresses.v6, place.namespace
        );
    }
}
