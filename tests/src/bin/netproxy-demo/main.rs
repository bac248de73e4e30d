//! The demo: two nodes, pods on two CNI shapes and an outside client, real requests through
//! services, and a table of who answered whom.

mod call;
mod hints;
mod progress;
mod stage;
mod table;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use netproxy_lab::Lab;

use crate::call::CallResult;
use crate::stage::Stage;

/// The lab's name: its namespaces are `np-demo-…`.
const NAME: &str = "demo";

/// Raise two nodes, pods and a client in network namespaces, serve them with netproxy, and show
/// what real requests see.
#[derive(Debug, Parser)]
struct Arguments {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Source {
    /// A directory of ordinary manifests, `deploy/demo/`.
    Manifests,
    /// A real etcd and kube-apiserver, filled with kubectl.
    Kubernetes,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.down {
        Lab::remove(NAME)?;
        println!("The demo's lab is gone.");
        return Ok(ExitCode::SUCCESS);
    }
    let lab = stage::raise_lab(NAME)
        .context("one that --keep has left is removed by `cargo xtask demo --down`")?;
    let stage = Stage::set(&lab, arguments.source);
    let outcome = stage.and_then(|stage| call::make_all(&stage).map(|results| (stage, results)));
    let (stage, results) = outcome.inspect_err(|_| eprintln!("{}", lab.logs()))?;
    println!("\n{}\n", table::show(&results));
    let is_bad = |result: &&CallResult| result.complaint.is_some();
    let failed = results.iter().filter(is_bad).count();
    if failed > 0 {
        eprintln!("{}", lab.logs());
    }
    if arguments.keep {
        println!("{}\n", hints::show(&stage));
        drop(stage);
        lab.keep().context("the lab cannot be kept")?;
    }
    println!("{} passed, {failed} failed", results.len() - failed);
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
