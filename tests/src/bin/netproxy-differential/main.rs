//! Differential tests: random clusters are given to kube-proxy and to netproxy in twin labs, the same
//! probes are sent to every frontend of both, and what happens is compared. A difference that is not
//! one of the [deliberate](difference) ones fails the case.

mod agents;
mod arena;
mod case;
mod change;
mod comparison;
mod difference;
mod divergence;
mod generate;
mod manifest;
mod objects;
mod outcome;
mod passage;
mod question;
mod report;
mod sentinel;
mod shrink;
mod slot;
mod twin;
mod vantage;

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use netproxy_lab::{ControlPlane, Lab};

use crate::{arena::Arena, case::Case, divergence::Divergence, question::Focus};

/// The seed of every run, so that a change is measured by what passed before it.
const FIXED_SEED: u64 = 1;
/// Cases that are served side by side: as many as keep both labs busy while they wait for kube-proxy,
/// which takes in changes once a second.
const SIDE_BY_SIDE: usize = 25;
/// Kinds of failures of which an example is made smaller.
const MOST_SHRUNK: usize = 4;
/// Kinds of failures that are named.
const MOST_NAMED: usize = 40;

/// Compare netproxy with kube-proxy (nftables) on random clusters.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many cases of each seed
    #[arg(long, default_value_t = 100)]
    cases: u64,
    /// The seed of the cases [default: one that is always the same, then a fresh one]
    #[arg(long)]
    seed: Option<u64>,
    /// Which cases netproxy balances at the socket in; both: in every third
    #[arg(long, value_enum, default_value_t)]
    sockets: Sockets,
    /// Run the case of this directory, which a failure has left
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cases", "seed", "sockets"])]
    replay: Option<PathBuf>,
}

/// Which cases are balanced at the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sockets {
    Off,
    On,
    #[default]
    Both,
}

/// Of both, one case in so many.
const ONE_IN: u64 = 3;

impl Sockets {
    fn balance(self, number: u64) -> bool {
        match self {
            Self::Off => false,
            Self::On => true,
            Self::Both => number % ONE_IN == ONE_IN - 1,
        }
    }
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
    let cases = cases(arguments)?;
    let started = Instant::now();
    let (kube, netproxy) = (twin::raise("twin-kube")?, twin::raise("twin-netproxy")?);
    let result = compare(&kube, &netproxy, &cases);
    let failed = result.inspect_err(|_| {
        for lab in [&kube, &netproxy] {
            eprintln!("{}", lab.logs());
        }
    })?;
    println!("{:.0} s", started.elapsed().as_secs_f64());
    println!("{} passed, {failed} failed", cases.len() - failed);
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn cases(arguments: &Arguments) -> Result<Vec<Case>> {
    if let Some(directory) = &arguments.replay {
        return Ok(vec![report::load(directory)?]);
    }
    let seeds = match arguments.seed {
        Some(seed) => vec![seed],
        None => vec![FIXED_SEED, fresh_seed()?],
    };
    println!("Seeds: {seeds:?}, {} cases each", arguments.cases);
    let numbers = || 0..arguments.cases;
    let case = |seed, number| Case {
        at_sockets: arguments.sockets.balance(number),
        ..generate::case(seed, number)
    };
    let cases = seeds
        .iter()
        .flat_map(|&seed| numbers().map(move |it| case(seed, it)));
    let mut cases: Vec<_> = cases.collect();
    // The agents are replaced once.
    cases.sort_by_key(|case| case.at_sockets);
    Ok(cases)
}

/// Short enough to be typed again.
fn fresh_seed() -> Result<u64> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock")?;
    Ok(now.as_secs() % 1_000_000)
}

/// Runs all cases and reports; answers with how many failed.
fn compare(kube: &Lab, netproxy: &Lab, cases: &[Case]) -> Result<usize> {
    let control_plane = ControlPlane::start(kube)?;
    let mut arena = Arena::open(kube, netproxy, &control_plane)?;
    println!("Both labs are up");
    let mut failures: Vec<(&Case, Vec<Divergence>)> = Vec::new();
    let alike = cases.chunk_by(|one, next| one.at_sockets == next.at_sockets);
    let mut done = 0;
    for batch in alike.flat_map(|alike| alike.chunks(SIDE_BY_SIDE)) {
        let started = Instant::now();
        let divergences = arena.run(batch, None)?;
        let found = batch
            .iter()
            .zip(divergences)
            .filter(|(_, it)| !it.is_empty());
        failures.extend(found);
        done += batch.len();
        let at = if batch[0].at_sockets {
            ", at the socket"
        } else {
            ""
        };
        println!(
            "{done} of {} cases, {} failed ({:.1} s{at})",
            cases.len(),
            failures.len(),
            started.elapsed().as_secs_f64()
        );
    }
    print!("{}", report::summarize(&arena.tally));
    for (case, divergences) in &failures {
        report::save(case, divergences)?;
    }
    report_kinds(&mut arena, &failures)?;
    Ok(failures.len())
}

/// Failures that have their signature in common.
struct Kind<'a> {
    focus: Focus,
    cases: Vec<&'a Case>,
    /// What the first case shows.
    example: Vec<Divergence>,
}

/// Names kinds of failures, with a small example of some.
fn report_kinds(arena: &mut Arena<'_>, failures: &[(&Case, Vec<Divergence>)]) -> Result<()> {
    let kinds = kinds_of(failures);
    for (signature, kind) in kinds.iter().take(MOST_NAMED) {
        let (count, first) = (kind.cases.len(), &kind.cases[0].name);
        println!("{count:>4} cases, such as {first}: {signature}");
    }
    for (number, (signature, kind)) in (1..).zip(kinds.into_iter().take(MOST_SHRUNK)) {
        let alike = |all: Vec<Divergence>| -> Option<Vec<Divergence>> {
            let alike: Vec<_> = all
                .into_iter()
                .filter(|it| it.signature == signature)
                .collect();
            (!alike.is_empty()).then_some(alike)
        };
        let (case, example) = (kind.cases[0], kind.example);
        let (small, divergences) = shrink::shrink(case, example, SIDE_BY_SIDE, |candidates| {
            let found = arena.run(candidates, Some(kind.focus))?;
            Ok(found.into_iter().map(alike).collect())
        })?;
        let small = Case {
            name: format!("{}-small-{number}", small.name),
            ..small
        };
        report::save(&small, &divergences)?;
        println!(
            "\n{signature}\n{}again: cargo xtask test differential --replay target/differential/{}",
            report::describe(&divergences),
            small.name
        );
    }
    Ok(())
}

/// The most frequent first.
fn kinds_of<'a>(failures: &[(&'a Case, Vec<Divergence>)]) -> Vec<(String, Kind<'a>)> {
    let mut kinds: BTreeMap<String, Kind<'a>> = BTreeMap::new();
    for (case, divergences) in failures {
        for it in divergences {
            let kind = kinds.entry(it.signature.clone()).or_insert_with(|| Kind {
                focus: Focus::on(&it.question, it.target),
                cases: Vec::new(),
                example: vec![it.clone()],
            });
            if !kind.cases.contains(case) {
                kind.cases.push(case);
            }
        }
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, kind)| Reverse(kind.cases.len()));
    kinds
}
