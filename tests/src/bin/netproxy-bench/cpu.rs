//! Which CPU does what: servers have one to themselves, clients another, on machines that have two.

use anyhow::{Context, Result};
use netproxy_lab::{Place, Process, binary};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use serde::de::DeserializeOwned;

/// Where servers run.
pub(crate) const SERVER: usize = 0;
/// Where clients run.
pub(crate) const CLIENT: usize = 1;

/// Starts a program in a place, on this CPU alone.
pub(crate) fn spawn_at(place: &dyn Place, cpu: usize, words: &[&str]) -> Result<Process> {
    let cpu = cpu.to_string();
    let started = place.spawn(&[&["taskset", "--cpu-list", &cpu], words].concat());
    started.with_context(|| needs(words))
}

/// Runs a program in a place to its end, on this CPU alone; answers with what it printed.
pub(crate) fn run_at(place: &dyn Place, cpu: usize, words: &[&str]) -> Result<String> {
    let cpu = cpu.to_string();
    let output = place.run(&[&["taskset", "--cpu-list", &cpu], words].concat());
    output.with_context(|| needs(words))
}

/// Runs `netproxy-traffic` in a place to its end, on this CPU alone; answers with its report.
pub(crate) fn traffic_at<Report: DeserializeOwned>(
    place: &dyn Place,
    cpu: usize,
    words: &[&str],
) -> Result<Report> {
    let program = binary::find("netproxy-traffic")?;
    let text = run_at(
        place,
        cpu,
        &[&[&*program.to_string_lossy()], words].concat(),
    )?;
    serde_json::from_str(&text).with_context(|| format!("not a report: {text}"))
}

/// Keeps the running thread on this CPU.
pub(crate) fn bind_thread(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

fn needs(words: &[&str]) -> String {
    let program = words.first().copied().unwrap_or_default();
    format!("{program} (cargo xtask bench installs what is missing; two CPUs are needed)")
}
