//! What was tried, and what became of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use netproxy_common::{Counter, FlowKind};

use super::generate::{Class, Twist};
use super::oracle::Fate;

/// The programs, by name.
const PROGRAMS: [&str; 4] = ["tc_ingress", "tc_egress", "tc_ingress_l3", "tc_egress_l3"];

/// What a campaign must have seen, each at some program.
const FATES: [Fate; 21] = [
    Fate::Passed,
    Fate::Opened(FlowKind::Edge),
    Fate::Opened(FlowKind::Whole),
    Fate::Opened(FlowKind::Host),
    Fate::Forward(FlowKind::Edge),
    Fate::Forward(FlowKind::Whole),
    Fate::Forward(FlowKind::Host),
    Fate::Reply(FlowKind::Edge),
    Fate::Reply(FlowKind::Whole),
    Fate::Reply(FlowKind::Host),
    Fate::ErrorAboutForward(FlowKind::Edge),
    Fate::ErrorAboutForward(FlowKind::Whole),
    Fate::ErrorAboutForward(FlowKind::Host),
    Fate::ErrorAboutReply(FlowKind::Edge),
    Fate::ErrorAboutReply(FlowKind::Whole),
    Fate::Switched,
    Fate::Rerouted,
    Fate::TranslatedPiece,
    Fate::Refused,
    Fate::Reset,
    Fate::Dropped,
];

/// Reasons to drop that a campaign must have met.
const REASONS: [Counter; 11] = [
    Counter::NoEndpoint,
    Counter::NoRoute,
    Counter::SourceRange,
    Counter::UnusedPort,
    Counter::UnusedAddress,
    Counter::PacketTooBig,
    Counter::Expired,
    Counter::FragmentBeforeFirst,
    Counter::SplitHeader,
    Counter::SctpFragment,
    Counter::ConnectionReset,
];

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    packets: u64,
    /// What the kernel does not run a program on.
    not_run: u64,
    classes: BTreeMap<(Class, &'static str, Fate), u64>,
    twists: BTreeMap<(Twist, Fate), u64>,
    reasons: BTreeMap<Counter, u64>,
}

impl Coverage {
    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    pub(super) fn not_run(&mut self) {
        self.packets += 1;
        self.not_run += 1;
    }

    pub(super) fn note(
        &mut self,
        class: Class,
        twist: Option<Twist>,
        program: &'static str,
        fate: Fate,
    ) {
        self.packets += 1;
        *self.classes.entry((class, program, fate)).or_default() += 1;
        if let Some(twist) = twist {
            *self.twists.entry((twist, fate)).or_default() += 1;
        }
    }

    pub(super) fn note_reason(&mut self, reason: Counter) {
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// What never occurred, and should have.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for class in Class::ALL {
            for program in PROGRAMS {
                if !self
                    .classes
                    .keys()
                    .any(|it| (it.0, it.1) == (class, program))
                {
                    missing.push(format!("{class:?} at {program}"));
                }
            }
        }
        for twist in Twist::ALL {
            // Something that was twisted must also have been changed.
            let is_there = |it: &&(Twist, Fate)| it.0 == twist && it.1 != Fate::Passed;
            if self.twists.keys().find(is_there).is_none() {
                missing.push(format!("{twist:?} of what did not just pass"));
            }
        }
        for fate in FATES {
            if !self.classes.keys().any(|it| it.2 == fate) {
                missing.push(format!("{fate:?}"));
            }
        }
        for reason in REASONS {
            if !self.reasons.contains_key(&reason) {
                missing.push(format!("a packet dropped or refused for {}", reason.name()));
            }
        }
        missing
    }

    /// Tables for people.
    pub(super) fn table(&self) -> String {
        let mut table = format!(
            "{} packets, {} of them too short for the kernel to run a program on\n",
            self.packets, self.not_run
        );
        for program in PROGRAMS {
            let _ = writeln!(table, "{program}");
            for class in Class::ALL {
                let counts = self
                    .classes
                    .iter()
                    .filter(|(key, _)| (key.0, key.1) == (class, program))
                    .map(|(key, count)| (key.2, *count));
                row(&mut table, &format!("{class:?}"), counts);
            }
        }
        let _ = writeln!(table, "twisted");
        for twist in Twist::ALL {
            let counts = self
                .twists
                .iter()
                .filter(|(key, _)| key.0 == twist)
                .map(|(key, count)| (key.1, *count));
            row(&mut table, &format!("{twist:?}"), counts);
        }
        let _ = writeln!(table, "reasons of drops and refusals");
        for (reason, count) in &self.reasons {
            let _ = writeln!(table, "  {:<20} {count:>9}", reason.name());
        }
        table
    }
}

fn row(table: &mut String, name: &str, counts: impl Iterator<Item = (Fate, u64)>) {
    let mut columns = BTreeMap::new();
    for (fate, count) in counts {
        let column = match fate {
            Fate::Passed => "passed",
            Fate::Opened(_) => "opened",
            Fate::Forward(_)
            | Fate::Reply(_)
            | Fate::Switched
            | Fate::Rerouted
            | Fate::TranslatedPiece => "translated",
            Fate::ErrorAboutForward(_) | Fate::ErrorAboutReply(_) => "error translated",
            Fate::Refused | Fate::Reset => "refused",
            Fate::Dropped => "dropped",
        };
        *columns.entry(column).or_insert(0) += count;
    }
    let _ = write!(table, "  {name:<14}");
    for column in [
        "passed",
        "opened",
        "translated",
        "error translated",
        "refused",
        "dropped",
    ] {
        let count: u64 = columns.get(column).copied().unwrap_or_default();
        let _ = write!(table, " {count:>9} {column}");
    }
    let _ = writeln!(table);
}
