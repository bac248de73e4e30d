//! The benchmark: netproxy and kube-proxy in the lab, on a real etcd and kube-apiserver, one after the other.
//!
//! A [`scenario`] says what is done in a cluster of some size, a [`system`] what is measured. Each cluster is
//! created once, and the systems take turns in it, so that what else the machine does meets all of them.

mod arena;
mod asker;
mod backends;
mod cluster;
mod cpu;
mod device;
mod exchange;
mod forwarder;
mod frames;
mod http;
mod machine;
mod measurement;
mod meter;
mod plot;
mod ratio;
mod report;
mod results;
mod running;
mod scenario;
mod standing;
mod system;
mod target;
mod web;
mod wrk;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Result, ensure};
use clap::Parser;

use crate::{
    arena::Arena,
    cluster::ClusterSize,
    machine::Machine,
    measurement::{Occasion, Sample, Tally, Unfinished},
    report::{Report, round},
    results::Results,
    scenario::{Pace, Scenario},
    system::System,
};

/// How many services may be asked for: as many have cluster IPs.
const MOST_SERVICES: u32 = 60_000;

/// Measure netproxy and kube-proxy, and write results.json, report.md and a picture of each scenario.
#[derive(Debug, Parser)]
struct Arguments {
    /// Small clusters and one run: a proof that it works, not numbers
    #[arg(long)]
    quick: bool,
    /// Measure these scenarios only
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',')]
    only: Vec<String>,
    /// Measure these systems only
    #[arg(long, value_name = "SYSTEM", value_delimiter = ',')]
    systems: Vec<System>,
    /// Measure clusters with so many services, instead of those that each scenario has for its own
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SERVICES)))]
    services: Vec<u32>,
    /// How often each system is measured [default: traffic 16 times, all else 5 times, with --quick once]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// Write docs/benchmarks.md as well, with its pictures: what is measured takes the place of what stands there of the
    /// same scenarios, and docs/benchmarks/log.md ends it
    #[arg(long)]
    publish: bool,
    /// Where the results go
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
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
    let began = Instant::now();
    let pace = if arguments.quick {
        Pace::Quick
    } else {
        Pace::Thorough
    };
    let mut report = Report {
        machine: Machine::look(),
        results: Results::default(),
    };
    let occasion = Occasion::now();
    for (size, scenarios) in plan(arguments, pace)? {
        let systems: BTreeSet<_> = scenarios
            .iter()
            .flat_map(|it| arguments.systems_of(*it))
            .collect();
        let lab = arena::raise(&systems.into_iter().collect::<Vec<_>>())?;
        let arena = Arena::open(&lab, size).inspect_err(|_| eprintln!("{}", lab.logs()))?;
        for scenario in scenarios {
            measure(
                &arena,
                scenario,
                &arguments.systems_of(scenario),
                pace,
                arguments.runs.unwrap_or(scenario.runs(pace)),
                &occasion,
                &mut report.results,
            );
            // What there is outlives an interruption.
            report.write(&arguments.out)?;
            if arguments.publish {
                report.publish(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs"))?;
            }
        }
    }
    let (out, minutes) = (
        arguments.out.display(),
        began.elapsed().as_secs_f64() / 60.0,
    );
    println!("{out}/report.md and {out}/results.json were written after {minutes:.1} minutes.");
    Ok(if report.results.unfinished.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Arguments {
    /// The systems that a scenario is measured with.
    fn systems_of(&self, scenario: &dyn Scenario) -> Vec<System> {
        let all = scenario.systems().iter().copied();
        all.filter(|it| self.systems.is_empty() || self.systems.contains(it))
            .collect()
    }
}

type Plan = BTreeMap<ClusterSize, Vec<&'static dyn Scenario>>;

/// The scenarios that are asked for, cluster by cluster.
fn plan(arguments: &Arguments, pace: Pace) -> Result<Plan> {
    let names: Vec<_> = scenario::ALL.iter().map(|it| it.name()).collect();
    for name in &arguments.only {
        ensure!(
            names.contains(&name.as_str()),
            "there is no scenario {name}; there are {}",
            names.join(", ")
        );
    }
    let mut plan = Plan::new();
    for scenario in scenario::ALL {
        let is_wanted =
            arguments.only.is_empty() || arguments.only.iter().any(|it| it == scenario.name());
        if !is_wanted || arguments.systems_of(scenario).is_empty() {
            continue;
        }
        let sizes = if arguments.services.is_empty() {
            scenario.sizes(pace)
        } else {
            let sizes = arguments.services.iter().map(|&services| ClusterSize {
                services,
                endpoints_each: scenario.endpoints_each(),
            });
            sizes.collect()
        };
        for size in sizes {
            plan.entry(size).or_default().push(scenario);
        }
    }
    ensure!(
        !plan.is_empty(),
        "no scenario is left to be measured with these systems"
    );
    Ok(plan)
}

/// Measures one scenario in one cluster: the systems in turn, and that so many times.
fn measure(
    arena: &Arena<'_>,
    scenario: &'static dyn Scenario,
    systems: &[System],
    pace: Pace,
    runs: u16,
    occasion: &Occasion,
    results: &mut Results,
) {
    let services = arena.size.services;
    let mut tally = Tally::new(scenario.name(), services);
    let mut given_up = BTreeSet::new();
    for run in 1..=runs {
        for &system in systems {
            if given_up.contains(&system) {
                continue;
            }
            let mut outcome = scenario.run(arena, system, pace);
            if !scenario.is_traffic() {
                outcome = arena.wipe(system).and(outcome);
            }
            let turn = format!(
                "{} {system:<20} {services:>6} services, run {run} of {runs}",
                scenario.name()
            );
            match outcome {
                Ok(samples) => {
                    println!("{turn}: {}", show(&samples));
                    tally.add(system, &samples);
                }
                Err(error) => {
                    println!("{turn}: not finished, and not tried again: {error:#}");
                    given_up.insert(system);
                    results.unfinished.push(Unfinished {
                        scenario: scenario.name().to_owned(),
                        system: system.name().to_owned(),
                        services,
                        reason: format!("{error:#}"),
                        occasion: occasion.clone(),
                    });
                }
            }
        }
    }
    results.measurements.extend(tally.measurements(occasion));
}

fn show(samples: &[Sample]) -> String {
    let each = samples
        .iter()
        .map(|it| format!("{} {} {}", it.metric, round(it.value), it.unit));
    each.collect::<Vec<_>>().join(", ")
}
