//! `cargo xtask test`: prepares and runs the tiers, sums up what they report, and ends with one line
//! `N passed, N failed`.
//!
//! Nothing passes silently: a tier whose tests cannot be built, that dies without reporting, or that
//! runs no test at all counts as one failure.

mod differential;
mod kernel;
mod tally;
mod tier;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::FormattedDuration;

use crate::binaries::{self, Profile};
use crate::command::{Step, ensure_not_interrupted};
use crate::ebpf::{self, Warnings};
use crate::tools;
use crate::workspace::Workspace;
pub(crate) use differential::Differential;
use tally::Tally;
pub(crate) use tier::Tier;

/// What became of one tier.
#[derive(Debug)]
struct Outcome {
    tier: Tier,
    tally: Tally,
    /// Why the tier counts a failure that no test reported.
    trouble: Option<String>,
    took: Duration,
}

/// Runs `only` this tier, or all of them and the demo.
pub(crate) fn run(
    workspace: &Workspace,
    only: Option<Tier>,
    options: &Differential,
) -> Result<ExitCode> {
    options.check(only)?;
    ebpf::build(workspace, Warnings::Shown)?;
    let tiers = only.map_or_else(|| Tier::ALL.to_vec(), |tier| vec![tier]);
    let mut outcomes = Vec::new();
    for tier in tiers {
        outcomes.push(outcome(workspace, tier, options)?);
    }
    let total = report(&outcomes);
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs one tier; only an interruption is an error.
fn outcome(workspace: &Workspace, tier: Tier, options: &Differential) -> Result<Outcome> {
    let started = Instant::now();
    let mut tally = Tally::default();
    let done = prepare(workspace, tier).and_then(|()| watch(workspace, tier, options, &mut tally));
    let trouble = match done {
        Ok(trouble) => trouble,
        Err(error) => Some(format!("{error:#}")),
    };
    ensure_not_interrupted()?;
    if let Some(trouble) = &trouble {
        tally.failed += 1;
        eprintln!("{tier}: {trouble}");
    }
    Ok(Outcome {
        tier,
        tally,
        trouble,
        took: started.elapsed(),
    })
}

fn prepare(workspace: &Workspace, tier: Tier) -> Result<()> {
    if tier.needs_control_plane() {
        tools::install(workspace)?;
    }
    if tier == Tier::Lab {
        binaries::build_other_layout(workspace, Profile::Release)?;
    }
    if tier.needs_binaries() {
        binaries::build(workspace, Profile::Release)?;
    }
    Ok(())
}

/// Runs the tier's tests and counts; tells what is wrong beyond the failures that were reported.
fn watch(
    workspace: &Workspace,
    tier: Tier,
    options: &Differential,
    tally: &mut Tally,
) -> Result<Option<String>> {
    let log = workspace.log(&format!("test-{tier}"))?;
    let step = Step::new(
        format!("Tier {tier}"),
        log.clone(),
        tier.command(workspace, options)?,
    );
    let status = step
        .stream(|line| *tally += tier.count(line))
        .context("the tests did not run")?;
    let log = log.display();
    Ok(if !status.success() && tally.failed == 0 {
        Some(format!(
            "a build error or a crash, not a failed test, ended the run with {status}: see {log}"
        ))
    } else if tally.passed + tally.failed == 0 {
        Some(format!("not one test ran: see {log}"))
    } else {
        None
    })
}

/// Prints a line per tier; returns the sum.
fn report(outcomes: &[Outcome]) -> Tally {
    let mut total = Tally::default();
    println!(
        "\n{:<14} {:>7} {:>7} {:>8}  time",
        "tier", "passed", "failed", "ignored"
    );
    for outcome in outcomes {
        let Tally {
            passed,
            failed,
            ignored,
        } = outcome.tally;
        println!(
            "{:<14} {passed:>7} {failed:>7} {ignored:>8}  {}",
            outcome.tier.to_string(),
            FormattedDuration(outcome.took)
        );
        total += outcome.tally;
    }
    for outcome in outcomes {
        if let Some(trouble) = &outcome.trouble {
            println!("{}: {trouble}", outcome.tier);
        }
    }
    println!();
    total
}
