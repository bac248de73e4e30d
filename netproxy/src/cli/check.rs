//! `netproxy check`: what stands in netproxy's way on this node.

mod devices;
mod filters;
mod sockets;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use netproxy::check::{self, CheckOptions, Finding, Level};
use netproxy::datapath::Pins;
use serde::Serialize;

use super::table::{Cell, Format, Listing, OutputArgs, Row};

const DETAILS: &str = "\
Nothing is changed. Every line is one of
  ok        as it should be
  note      works; worth knowing
  WARNING   works, but some traffic is treated otherwise than expected
  PROBLEM   netproxy cannot serve this node
with `->` before what to do about it. The exit code is 1 if there is a problem, else 0.

With -o json, an array of objects: subject, level (ok, note, warning, problem), found, remedy
(null: none).

Examples:
  netproxy check
  netproxy check --node-ports 20000-22767
  netproxy check -o json | jq '.[] | select(.level == \"problem\")'";

/// What to check for.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct CheckArgs {
    /// The agent's --cgroup; by default the one that has all processes of the node below it
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// The API server's --service-node-port-range
    #[arg(
        long,
        value_name = "FIRST-LAST",
        default_value = "30000-32767",
        value_parser = port_range
    )]
    node_ports: RangeInclusive<u16>,
    #[command(flatten)]
    output: OutputArgs,
}

impl CheckArgs {
    pub(super) fn run(&self, bpffs: &Path, list: &mut Listing<'_>) -> anyhow::Result<ExitCode> {
        let options = CheckOptions {
            bpffs: bpffs.to_owned(),
            cgroup: self.cgroup.clone(),
            node_ports: self.node_ports.clone(),
            ..CheckOptions::default()
        };
        let mut findings = check::run(&options);
        let pins = Pins::new(bpffs);
        findings.extend(devices::check(&pins));
        findings.extend(sockets::check(&pins, self.cgroup.as_deref()));
        let rows: Vec<_> = findings.iter().map(FindingRow::from).collect();
        list.rows(self.output.output, &rows, "nothing was checked")?;
        if self.output.output == Format::Table {
            list.line("")?;
            list.line(&summary(&findings))?;
        }
        Ok(if count(&findings, Level::Problem) == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("{text} is not two ports like 30000-32767, the lower one first");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err(wrong()),
    }
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings
        .iter()
        .filter(|finding| finding.level == level)
        .count()
}

/// `2 problems, 1 warning`.
fn summary(findings: &[Finding]) -> String {
    let told = |level, name| {
        let count = count(findings, level);
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {name}{plural}")
    };
    format!(
        "{}, {}",
        told(Level::Problem, "problem"),
        told(Level::Warning, "warning")
    )
}

/// One finding.
#[derive(Debug, Serialize)]
struct FindingRow<'a> {
    subject: &'static str,
    level: &'static str,
    found: &'a str,
    remedy: Option<&'a str>,
}

impl<'a> From<&'a Finding> for FindingRow<'a> {
    fn from(finding: &'a Finding) -> Self {
        let Finding {
            subject,
            level,
            found,
            remedy,
        } = finding;
        Self {
            subject,
            level: match level {
                Level::Ok => "ok",
                Level::Note => "note",
                Level::Warning => "warning",
                Level::Problem => "problem",
            },
            found,
            remedy: remedy.as_deref(),
        }
    }
}

impl Row for FindingRow<'_> {
    const HEAD: &'static [&'static str] = &[];
    const IS_PROSE: bool = true;

    fn cells(&self) -> Vec<Cell> {
        let Self {
            subject,
            level,
            found,
            remedy,
        } = self;
        let mark = match *level {
            "warning" | "problem" => level.to_uppercase(),
            quiet => quiet.to_owned(),
        };
        let remedy = remedy.map_or_else(String::new, |remedy| format!("\n-> {remedy}"));
        vec![
            mark.into(),
            (*subject).into(),
            format!("{found}{remedy}").into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level, remedy: Option<&str>) -> Finding {
        Finding {
            subject: "bpffs",
            level,
            found: "not mounted".to_owned(),
            remedy: remedy.map(str::to_owned),
        }
    }

    #[test]
    fn a_remedy_stands_below_what_it_mends() {
        let problem = finding(Level::Problem, Some("mount -t bpf bpf /sys/fs/bpf"));

        let mut out = Vec::new();
        Listing::new(&mut out, None)
            .rows(Format::Table, &[FindingRow::from(&problem)], "")
            .unwrap();

        assert_eq!(
            String::from_utf8(out).unwrap(),
            "PROBLEM  bpffs  not mounted\n                -> mount -t bpf bpf /sys/fs/bpf\n"
        );
    }

    #[test]
    fn the_json_object_has_the_documented_fields() {
        let note = finding(Level::Note, None);

        assert_eq!(
            serde_json::to_value(FindingRow::from(&note)).unwrap(),
            serde_json::json!({
                "subject": "bpffs", "level": "note", "found": "not mounted", "remedy": null,
            })
        );
    }

    #[test]
    fn the_summary_counts_what_needs_attention() {
        let findings = [
            finding(Level::Ok, None),
            finding(Level::Warning, None),
            finding(Level::Problem, None),
            finding(Level::Problem, None),
        ];

        assert_eq!(summary(&findings), "2 problems, 1 warning");
        assert_eq!(summary(&findings[..1]), "0 problems, 0 warnings");
    }

    #[test]
    fn a_port_range_is_two_ports_in_order() {
        assert_eq!(port_range("30000-32767"), Ok(30000..=32767));
        for wrong in ["30000", "32767-30000", "1-65536", "a-b", ""] {
            assert!(port_range(wrong).is_err(), "{wrong:?}");
        }
    }
}
