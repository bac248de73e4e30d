//! What netproxy is to reach, and whether it does: a table that ends the page.
//!
//! Something is reached if all of the interval in which it probably is lies on the right side, and is not shown if only
//! its middle does.

use std::fmt::Write as _;

use anyhow::Result;

use crate::{
    measurement::Measurement,
    ratio::Ratio,
    report::round,
    results::Results,
    system::System::{
        self, Direct, KubeProxyIptables, KubeProxyNftables, NetproxySocket, NetproxyTc, NetproxyXdp,
    },
};

/// A scenario with so many services, a metric of a system, and what is aimed at.
type Target = (&'static str, u32, &'static str, System, Aim);

/// What a metric is to be.
#[derive(Clone, Copy, Debug)]
enum Aim {
    /// At least so many times what it is with another system.
    AtLeast(f64, System),
    /// At most so many times that.
    AtMost(f64, System),
    /// At most so much.
    Below(f64),
    /// Compared with no service at all it is as with one service, but for such a part.
    AsWithOne(f64),
}
use Aim::{AsWithOne, AtLeast, AtMost, Below};

const KEEPALIVE: &str = "clusterip-keepalive";
const SHORT: &str = "clusterip-short";
const SUSTAINED: &str = "clusterip-short-sustained";
const REMOTE_SHORT: &str = "nodeport-remote-short";
const REMOTE_PPS: &str = "nodeport-remote-pps";
const REQUESTS: &str = "requests";
const PACKETS: &str = "packets by core";

const TARGETS: &[Target] = &[
    (
        KEEPALIVE,
        1,
        REQUESTS,
        NetproxySocket,
        AtLeast(0.99, Direct),
    ),
    (KEEPALIVE, 1, REQUESTS, NetproxyTc, AtLeast(0.95, Direct)),
    (
        KEEPALIVE,
        1,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.0, KubeProxyNftables),
    ),
    (
        KEEPALIVE,
        1,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.0, KubeProxyIptables),
    ),
    (
        KEEPALIVE,
        10_000,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.05, KubeProxyNftables),
    ),
    (
        KEEPALIVE,
        10_000,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.5, KubeProxyIptables),
    ),
    (KEEPALIVE, 10_000, REQUESTS, NetproxySocket, AsWithOne(0.03)),
    (KEEPALIVE, 10_000, REQUESTS, NetproxyTc, AsWithOne(0.03)),
    (SHORT, 1, REQUESTS, NetproxySocket, AtLeast(0.99, Direct)),
    (SHORT, 1, REQUESTS, NetproxyTc, AtLeast(0.95, Direct)),
    (
        SHORT,
        1,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.0, KubeProxyNftables),
    ),
    (
        SHORT,
        1,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.0, KubeProxyIptables),
    ),
    (
        SHORT,
        10_000,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.05, KubeProxyNftables),
    ),
    (
        SHORT,
        10_000,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.5, KubeProxyIptables),
    ),
    (SHORT, 10_000, REQUESTS, NetproxySocket, AsWithOne(0.03)),
    (SHORT, 10_000, REQUESTS, NetproxyTc, AsWithOne(0.03)),
    (
        SUSTAINED,
        1,
        REQUESTS,
        NetproxySocket,
        AtLeast(0.95, Direct),
    ),
    (SUSTAINED, 1, REQUESTS, NetproxyTc, AtLeast(0.95, Direct)),
    (
        REMOTE_SHORT,
        1,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.1, KubeProxyNftables),
    ),
    (
        REMOTE_SHORT,
        1,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.1, KubeProxyIptables),
    ),
    (
        REMOTE_PPS,
        1,
        PACKETS,
        NetproxyXdp,
        AtLeast(2.5, KubeProxyNftables),
    ),
    (
        REMOTE_PPS,
        1,
        PACKETS,
        NetproxyXdp,
        AtLeast(2.5, KubeProxyIptables),
    ),
    (
        REMOTE_PPS,
        1,
        PACKETS,
        NetproxyTc,
        AtLeast(1.5, KubeProxyNftables),
    ),
    (
        REMOTE_PPS,
        1,
        PACKETS,
        NetproxyTc,
        AtLeast(1.5, KubeProxyIptables),
    ),
    (
        "bystander",
        1,
        REQUESTS,
        NetproxySocket,
        AtLeast(0.99, Direct),
    ),
    ("bystander", 1, REQUESTS, NetproxyTc, AtLeast(0.99, Direct)),
    (
        "program-full",
        5_000,
        "list to wire",
        NetproxySocket,
        Below(100.0),
    ),
    (
        "program-full",
        5_000,
        "list to wire",
        NetproxySocket,
        AtMost(0.02, KubeProxyNftables),
    ),
    (
        "program-one",
        10_000,
        "event to packet, p99",
        NetproxySocket,
        Below(5.0),
    ),
    (
        "agent-memory",
        5_000,
        "resident",
        NetproxySocket,
        Below(80.0),
    ),
    (
        "agent-memory",
        5_000,
        "resident",
        NetproxySocket,
        AtMost(0.2, KubeProxyNftables),
    ),
    (
        "agent-start",
        10_000,
        "from nothing to synced",
        NetproxySocket,
        AtMost(0.333, KubeProxyNftables),
    ),
    (
        "agent-start",
        10_000,
        "from nothing to synced",
        NetproxySocket,
        AtMost(0.333, KubeProxyIptables),
    ),
];

/// What was measured, and whether that is what was aimed at.
struct Judgement {
    measured: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Reached,
    /// As far as can be told.
    NotShown,
    NotReached,
}

impl Verdict {
    const fn of(is_reached: bool) -> Self {
        if is_reached {
            Self::Reached
        } else {
            Self::NotReached
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::NotShown => "not shown",
            Self::NotReached => "**not reached**",
        }
    }
}

/// The table, of what was measured.
pub(crate) fn table(results: &Results) -> Result<String> {
    let mut text = "| scenario | services | metric | system | aim | measured | |\n\
                    |---|---:|---|---|---|---:|---|\n"
        .to_owned();
    for &(scenario, services, metric, system, aim) in TARGETS {
        let find = |system: System, services: u32| {
            let is_it = |it: &&Measurement| {
                it.subject() == (scenario, services)
                    && it.metric == metric
                    && it.system == system.name()
            };
            results.measurements.iter().find(is_it)
        };
        let Some(ours) = find(system, services) else {
            continue;
        };
        let judgement = match aim {
            AtLeast(least, other) => find(other, services)
                .and_then(|theirs| Ratio::of_pairs(&ours.runs, &theirs.runs))
                .map(|ratio| of_ratio(ratio, |it| it >= least)),
            AtMost(most, other) => find(other, services)
                .and_then(|theirs| Ratio::of_pairs(&ours.runs, &theirs.runs))
                .map(|ratio| of_ratio(ratio, |it| it <= most)),
            Below(most) => Some(Judgement {
                measured: format!("{} {}", round(ours.median), ours.unit),
                verdict: Verdict::of(ours.median <= most),
            }),
            AsWithOne(part) => {
                // Both clusters were not there at once: the machine may have become slower.
                let of_direct = |services| {
                    let (ours, direct) = (find(system, services)?, find(Direct, services)?);
                    Ratio::of_pairs(&ours.runs, &direct.runs)
                };
                let pair = of_direct(services).zip(of_direct(1));
                pair.map(|(many, one)| {
                    let ratio = many.mean / one.mean;
                    Judgement {
                        measured: format!("{ratio:.3}"),
                        verdict: Verdict::of((ratio - 1.0).abs() <= part),
                    }
                })
            }
        };
        let wanted = match aim {
            AtLeast(least, other) => format!("≥ {least} of {}", other.name()),
            AtMost(most, other) => format!("≤ {most} of {}", other.name()),
            Below(most) => format!("≤ {most} {}", ours.unit),
            AsWithOne(part) => format!("as with one service, ± {:.0} %", part * 100.0),
        };
        let (measured, verdict) = match judgement {
            Some(it) => (it.measured, it.verdict.text()),
            None => ("–".to_owned(), "not measured"),
        };
        let system = system.name();
        writeln!(
            text,
            "| {scenario} | {services} | {metric} | {system} | {wanted} | {measured} | {verdict} |"
        )?;
    }
    Ok(text)
}

/// A ratio is reached with both ends of its interval.
fn of_ratio(ratio: Ratio, is_enough: impl Fn(f64) -> bool) -> Judgement {
    let mean = ratio.mean;
    let (measured, is_sure) = match ratio.interval {
        Some((low, high)) => (
            format!("{mean:.3} ({low:.3}–{high:.3})"),
            is_enough(low) && is_enough(high),
        ),
        None => (format!("{mean:.3}, of a single pair"), false),
    };
    let verdict = match (is_enough(mean), is_sure) {
        (true, true) => Verdict::Reached,
        (true, false) => Verdict::NotShown,
        (false, _) => Verdict::NotReached,
    };
    Judgement { measured, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{measurement::Occasion, scenario};

    fn measured(system: System, services: u32, runs: &[f64]) -> Measurement {
        Measurement {
            scenario: KEEPALIVE.to_owned(),
            system: system.name().to_owned(),
            services,
            metric: REQUESTS.to_owned(),
            unit: "1/s".to_owned(),
            median: runs[0],
            min: runs[0],
            max: runs[0],
            runs: runs.to_vec(),
            occasion: Occasion {
                commit: "c0ffee".to_owned(),
                date: "2026-11-22".to_owned(),
                command: "cargo xtask bench".to_owned(),
            },
        }
    }

    /// The verdict on netproxy-tc by that on direct.
    fn verdict(ours: &[f64], direct: &[f64]) -> String {
        let results = Results {
            measurements: vec![measured(NetproxyTc, 1, ours), measured(Direct, 1, direct)],
            unfinished: Vec::new(),
        };
        let table = table(&results).unwrap();
        let row = table.lines().find(|it| it.contains("of direct")).unwrap();
        row.rsplit(" | ").next().unwrap().to_owned()
    }

    #[test]
    fn something_is_reached_if_the_whole_interval_says_so() {
        let direct = [100.0, 100.0, 100.0];

        assert_eq!(verdict(&[97.0, 96.0, 96.5], &direct), "reached |");
        assert_eq!(verdict(&[97.0, 90.0, 103.0], &direct), "not shown |");
        assert_eq!(verdict(&[97.0], &direct[..1]), "not shown |");
        assert_eq!(verdict(&[90.0, 90.1, 90.2], &direct), "**not reached** |");
    }

    #[test]
    fn a_system_is_compared_with_itself_in_a_small_cluster() {
        let results = |many: f64| Results {
            measurements: vec![
                measured(NetproxySocket, 1, &[100.0]),
                measured(Direct, 1, &[100.0]),
                measured(NetproxySocket, 10_000, &[many / 2.0]),
                // The machine has become slower.
                measured(Direct, 10_000, &[50.0]),
            ],
            unfinished: Vec::new(),
        };
        let is_reached = |many| {
            let table = table(&results(many)).unwrap();
            let row = table.lines().find(|it| it.contains("one service"));
            row.unwrap().ends_with("| reached |")
        };

        assert!(is_reached(98.0) && is_reached(102.0));
        assert!(!is_reached(96.0) && !is_reached(104.0));
    }

    #[test]
    fn targets_are_of_scenarios_that_there_are() {
        for (name, _, _, system, _) in TARGETS {
            let scenario = scenario::ALL.iter().find(|it| it.name() == *name);

            assert!(
                scenario.is_some_and(|it| it.systems().contains(system)),
                "{name}"
            );
        }
    }
}
