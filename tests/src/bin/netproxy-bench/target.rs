//! What netproxy is to reach, and whether it does: the table that the page begins with.
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
    /// At least so many times what it is with each of other systems.
    AtLeast(f64, &'static [System]),
    /// At most so many times that.
    AtMost(f64, &'static [System]),
    /// At most so much.
    Below(f64),
    /// As much as another metric of the same system, but for such a part.
    As(&'static str, f64),
}
use Aim::{As, AtLeast, AtMost, Below};

const KEEPALIVE: &str = "clusterip-keepalive";
const SHORT: &str = "clusterip-short";
const SUSTAINED: &str = "clusterip-short-sustained";
const REMOTE_SHORT: &str = "nodeport-remote-short";
const REMOTE_PPS: &str = "nodeport-remote-pps";
const BYSTANDER: &str = "bystander";
const REQUESTS: &str = "requests";
const PACKETS: &str = "packets by core";

const DIRECT: &[System] = &[Direct];
const NFTABLES: &[System] = &[KubeProxyNftables];
const IPTABLES: &[System] = &[KubeProxyIptables];
const BOTH: &[System] = &[KubeProxyNftables, KubeProxyIptables];
const MEMORY: &str = "agent-memory";
const FULL: &str = "program-full";
const START: &str = "agent-start";
const ONE: &str = "program-one";
const SIZE: &str = "cluster-size";
const SHORT_AS_FEW: Aim = As("short, few", 0.03);
const KEPT_AS_FEW: Aim = As("kept, few", 0.03);
const SYNCED: &str = "from nothing to synced";

const TARGETS: &[Target] = &[
    (
        KEEPALIVE,
        1,
        REQUESTS,
        NetproxySocket,
        AtLeast(0.99, DIRECT),
    ),
    (KEEPALIVE, 1, REQUESTS, NetproxyTc, AtLeast(0.95, DIRECT)),
    (KEEPALIVE, 1, REQUESTS, NetproxyTc, AtLeast(1.0, BOTH)),
    (
        KEEPALIVE,
        10_000,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.05, NFTABLES),
    ),
    (
        KEEPALIVE,
        10_000,
        REQUESTS,
        NetproxyTc,
        AtLeast(1.5, IPTABLES),
    ),
    (SHORT, 1, REQUESTS, NetproxySocket, AtLeast(0.99, DIRECT)),
    (SHORT, 1, REQUESTS, NetproxyTc, AtLeast(0.95, DIRECT)),
    (SHORT, 1, REQUESTS, NetproxyTc, AtLeast(1.0, BOTH)),
    (SHORT, 10_000, REQUESTS, NetproxyTc, AtLeast(1.05, NFTABLES)),
    (SHORT, 10_000, REQUESTS, NetproxyTc, AtLeast(1.5, IPTABLES)),
    (SIZE, 10_000, "short, all", NetproxySocket, SHORT_AS_FEW),
    (SIZE, 10_000, "kept, all", NetproxySocket, KEPT_AS_FEW),
    (SIZE, 10_000, "short, all", NetproxyTc, SHORT_AS_FEW),
    (SIZE, 10_000, "kept, all", NetproxyTc, KEPT_AS_FEW),
    (
        SUSTAINED,
        1,
        REQUESTS,
        NetproxySocket,
        AtLeast(0.95, DIRECT),
    ),
    (SUSTAINED, 1, REQUESTS, NetproxyTc, AtLeast(0.95, DIRECT)),
    (REMOTE_SHORT, 1, REQUESTS, NetproxyTc, AtLeast(1.1, BOTH)),
    (REMOTE_PPS, 1, PACKETS, NetproxyXdp, AtLeast(2.5, BOTH)),
    (REMOTE_PPS, 1, PACKETS, NetproxyTc, AtLeast(1.5, BOTH)),
    (
        BYSTANDER,
        1,
        REQUESTS,
        NetproxySocket,
        AtLeast(0.99, DIRECT),
    ),
    (BYSTANDER, 1, REQUESTS, NetproxyTc, AtLeast(0.99, DIRECT)),
    (FULL, 5_000, "list to wire", NetproxySocket, Below(100.0)),
    (
        FULL,
        5_000,
        "list to wire",
        NetproxySocket,
        AtMost(0.02, NFTABLES),
    ),
    (
        ONE,
        10_000,
        "event to packet, p99",
        NetproxySocket,
        Below(5.0),
    ),
    (MEMORY, 5_000, "resident", NetproxySocket, Below(80.0)),
    (
        MEMORY,
        5_000,
        "resident",
        NetproxySocket,
        AtMost(0.2, NFTABLES),
    ),
    (START, 10_000, SYNCED, NetproxySocket, AtMost(0.333, BOTH)),
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
    /// There is nothing to compare with: the other system was given up.
    OtherUnfinished,
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
            Self::OtherUnfinished => "not comparable",
        }
    }
}

/// What there is to compare a system with.
enum Compared {
    With(Ratio),
    Unfinished,
    Missing,
}

/// The table, of what was measured.
pub(crate) fn table(results: &Results) -> Result<String> {
    let mut text = "| scenario | services | metric | system | aim | measured | |\n\
                    |---|---:|---|---|---|---:|---|\n"
        .to_owned();
    for &(scenario, services, metric, system, aim) in TARGETS {
        let find = |system: System, metric: &str| {
            let is_it = |it: &&Measurement| {
                it.subject() == (scenario, services)
                    && it.metric == metric
                    && it.system == system.name()
            };
            results.measurements.iter().find(is_it)
        };
        let Some(ours) = find(system, metric) else {
            continue;
        };
        let is_unfinished = |other: System| {
            results
                .unfinished
                .iter()
                .any(|it| it.subject() == (scenario, services) && it.system == other.name())
        };
        let ratio_to = |other: System, metric: &str| {
            find(other, metric).and_then(|theirs| Ratio::of_pairs(&ours.runs, &theirs.runs))
        };
        let of = |other: System| match ratio_to(other, metric) {
            Some(ratio) => Compared::With(ratio),
            None if is_unfinished(other) => Compared::Unfinished,
            None => Compared::Missing,
        };
        let rows = match aim {
            AtLeast(least, others) => compare(others, of, "≥", least, |it| it >= least),
            AtMost(most, others) => compare(others, of, "≤", most, |it| it <= most),
            Below(most) => vec![(
                format!("≤ {most} {}", ours.unit),
                Some(Judgement {
                    measured: format!("{} {}", round(ours.median), ours.unit),
                    verdict: Verdict::of(ours.median <= most),
                }),
            )],
            As(other, part) => {
                let ratio = ratio_to(system, other);
                let judgement = ratio.map(|ratio| of_ratio(ratio, |it| (it - 1.0).abs() <= part));
                let wanted = format!("as {other}, ± {:.0} %", part * 100.0);
                vec![(wanted, judgement)]
            }
        };
        let system = system.name();
        for (wanted, judgement) in rows {
            let (measured, verdict) = match judgement {
                Some(it) => (it.measured, it.verdict.text()),
                None => ("–".to_owned(), "not measured"),
            };
            writeln!(
                text,
                "| {scenario} | {services} | {metric} | {system} | {wanted} | {measured} | {verdict} |"
            )?;
        }
    }
    Ok(text)
}

/// What is aimed at by comparison with each of these, and whether that is so.
fn compare(
    others: &[System],
    of: impl Fn(System) -> Compared,
    sign: &str,
    bound: f64,
    is_enough: impl Fn(f64) -> bool,
) -> Vec<(String, Option<Judgement>)> {
    let row = |other: &System| {
        let judgement = match of(*other) {
            Compared::With(ratio) => Some(of_ratio(ratio, &is_enough)),
            Compared::Unfinished => Some(Judgement {
                measured: "that did not finish".to_owned(),
                verdict: Verdict::OtherUnfinished,
            }),
            Compared::Missing => None,
        };
        (format!("{sign} {bound} of {}", other.name()), judgement)
    };
    others.iter().map(row).collect()
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
    use crate::measurement::{Occasion, Unfinished};
    use crate::scenario;

    fn measured(system: System, services: u32, runs: &[f64]) -> Measurement {
        Measurement::of_requests(KEEPALIVE, system.name(), services, runs)
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
    fn a_system_that_did_not_finish_is_named_as_such() {
        let results = Results {
            measurements: vec![measured(NetproxyTc, 1, &[100.0])],
            unfinished: vec![Unfinished {
                scenario: KEEPALIVE.to_owned(),
                system: KubeProxyIptables.name().to_owned(),
                services: 1,
                reason: "never synced".to_owned(),
                occasion: Occasion::at("c0ffee"),
            }],
        };

        let table = table(&results).unwrap();

        let row = |of: &str| table.lines().find(|it| it.contains(of)).unwrap().to_owned();
        assert!(
            row("of kube-proxy-iptables").ends_with("| that did not finish | not comparable |")
        );
        assert!(row("of kube-proxy-nftables").ends_with("| – | not measured |"));
    }

    #[test]
    fn a_system_is_compared_with_itself_in_a_small_cluster() {
        let of = |metric: &str, runs: &[f64]| Measurement {
            metric: metric.to_owned(),
            ..Measurement::of_requests(SIZE, NetproxyTc.name(), 10_000, runs)
        };
        let is_reached = |all: [f64; 2]| {
            let results = Results {
                measurements: vec![of("short, all", &all), of("short, few", &[100.0, 100.0])],
                unfinished: Vec::new(),
            };
            let table = table(&results).unwrap();
            let row = table.lines().find(|it| it.contains("as short, few"));
            row.unwrap().ends_with("| reached |")
        };

        assert!(is_reached([98.0, 98.1]) && is_reached([101.9, 102.0]));
        assert!(!is_reached([96.0, 96.1]) && !is_reached([103.9, 104.0]));
        assert!(!is_reached([90.0, 110.0]));
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
