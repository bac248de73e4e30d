//! What was measured, as files keep it: `results.json`, and `unfinished.json` beside it.
//!
//! A scenario in a cluster of some size is measured with all its systems on one occasion, or not at all: what is measured
//! again replaces the whole of it, so systems that are compared have taken turns.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};
use serde::{Serialize, de::DeserializeOwned};

use crate::measurement::{Measurement, Occasion, Unfinished};

const MEASURED: &str = "results.json";
const UNFINISHED: &str = "unfinished.json";

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) unfinished: Vec<Unfinished>,
}

impl Results {
    /// What a directory keeps; nothing, if there is none yet.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        Ok(Self {
            measurements: read(&directory.join(MEASURED))?,
            unfinished: read(&directory.join(UNFINISHED))?,
        })
    }

    /// Keeps them in a directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        write(&directory.join(MEASURED), &self.measurements)?;
        write(&directory.join(UNFINISHED), &self.unfinished)
    }

    /// Puts in place of what they have measured as well.
    pub(crate) fn replace_by(&mut self, newer: &Self) {
        let measured = newer.measurements.iter().map(Measurement::subject);
        let unfinished = newer.unfinished.iter().map(Unfinished::subject);
        let again: BTreeSet<_> = measured.chain(unfinished).collect();
        self.measurements
            .retain(|it| !again.contains(&it.subject()));
        self.unfinished.retain(|it| !again.contains(&it.subject()));
        self.measurements.extend_from_slice(&newer.measurements);
        self.unfinished.extend_from_slice(&newer.unfinished);
    }

    /// On which occasions a scenario was measured, in the order of its clusters' sizes.
    pub(crate) fn occasions(&self, scenario: &str) -> Vec<(&Occasion, BTreeSet<u32>)> {
        let measured = self
            .measurements
            .iter()
            .map(|it| (it.subject(), &it.occasion));
        let unfinished = self
            .unfinished
            .iter()
            .map(|it| (it.subject(), &it.occasion));
        let mut found: Vec<(&Occasion, BTreeSet<u32>)> = Vec::new();
        for ((of, services), occasion) in measured.chain(unfinished) {
            if of != scenario {
                continue;
            }
            match found.iter_mut().find(|(known, _)| *known == occasion) {
                Some((_, sizes)) => {
                    sizes.insert(services);
                }
                None => found.push((occasion, BTreeSet::from([services]))),
            }
        }
        found.sort_by(|(_, sizes), (_, others)| sizes.cmp(others));
        found
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is not what this benchmark writes: remove it",
            path.display()
        )
    })
}

fn write<T: Serialize>(path: &Path, list: &[T]) -> Result<()> {
    let text = serde_json::to_string_pretty(list)?;
    fs::write(path, text + "\n").with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(commit: &str, scenario: &str, system: &str, services: u32) -> Measurement {
        Measurement {
            occasion: Occasion::at(commit),
            ..Measurement::of_requests(scenario, system, services, &[1.0])
        }
    }

    fn of(measurements: impl Into<Vec<Measurement>>) -> Results {
        Results {
            measurements: measurements.into(),
            unfinished: Vec::new(),
        }
    }

    #[test]
    fn what_is_measured_again_is_replaced_with_all_its_systems() {
        let mut results = of([
            measured("old", "bystander", "direct", 1),
            measured("old", "bystander", "netproxy-tc", 1),
            measured("old", "bystander", "direct", 10_000),
            measured("old", "first-packet", "direct", 1),
        ]);

        results.replace_by(&of([measured("new", "bystander", "direct", 1)]));

        let left = results.measurements.iter();
        let left: Vec<_> = left
            .map(|it| (&*it.occasion.commit, it.subject()))
            .collect();
        assert_eq!(
            left,
            [
                ("old", ("bystander", 10_000)),
                ("old", ("first-packet", 1)),
                ("new", ("bystander", 1)),
            ]
        );
    }

    #[test]
    fn a_scenario_tells_on_which_occasions_it_was_measured() {
        let results = of([
            measured("new", "bystander", "direct", 10_000),
            measured("old", "bystander", "direct", 1),
            measured("new", "first-packet", "direct", 1),
        ]);

        let occasions = results.occasions("bystander");

        assert_eq!(
            occasions,
            [
                (&Occasion::at("old"), BTreeSet::from([1])),
                (&Occasion::at("new"), BTreeSet::from([10_000])),
            ]
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut results = of([measured("a", "bystander", "direct", 1)]);
        results.unfinished.push(Unfinished {
            scenario: "bystander".to_owned(),
            system: "direct".to_owned(),
            services: 1,
            reason: "it took too long".to_owned(),
            occasion: Occasion::at("a"),
        });

        results.write(directory.path()).unwrap();
        let again = Results::read(directory.path()).unwrap();

        assert_eq!(format!("{again:?}"), format!("{results:?}"));
        let nowhere = Results::read(&directory.path().join("nowhere")).unwrap();
        assert!(nowhere.measurements.is_empty());
    }
}
