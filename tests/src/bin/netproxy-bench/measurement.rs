//! What came out: samples, and what they say together.

use std::{collections::BTreeMap, env, process::Command};

use serde::{Deserialize, Serialize};

use crate::system::System;

/// One value of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

impl Sample {
    pub(crate) const fn new(metric: &'static str, unit: &'static str, value: f64) -> Self {
        Self {
            metric,
            unit,
            value,
        }
    }
}

/// What was measured, when and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Occasion {
    /// The sources' state.
    pub(crate) commit: String,
    pub(crate) date: String,
    /// What one would repeat it by.
    pub(crate) command: String,
}

impl Occasion {
    /// Now.
    pub(crate) fn now() -> Self {
        let words = env::args().skip(1);
        let command = ["cargo", "xtask", "bench"].map(str::to_owned).into_iter();
        Self {
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            date: jiff::Zoned::now().strftime("%Y-%m-%d").to_string(),
            command: command.chain(words).collect::<Vec<_>>().join(" "),
        }
    }
}

/// The commit that is checked out, marked if files differ from it.
fn commit() -> Option<String> {
    let mut command = Command::new("git");
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command
        .args(["describe", "--always", "--dirty", "--exclude", "*"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| text.trim().to_owned())
}

/// All runs of one metric of one system in one scenario, as `results.json` has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) scenario: String,
    pub(crate) system: String,
    /// How many services there are.
    pub(crate) services: u32,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The values, in the order of the runs.
    pub(crate) runs: Vec<f64>,
    #[serde(flatten)]
    pub(crate) occasion: Occasion,
}

impl Measurement {
    /// The scenario, and in how large a cluster.
    pub(crate) fn subject(&self) -> (&str, u32) {
        (&self.scenario, self.services)
    }
}

/// A run that came to no end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    pub(crate) scenario: String,
    pub(crate) system: String,
    pub(crate) services: u32,
    pub(crate) reason: String,
    #[serde(flatten)]
    pub(crate) occasion: Occasion,
}

impl Unfinished {
    /// The scenario, and in how large a cluster.
    pub(crate) fn subject(&self) -> (&str, u32) {
        (&self.scenario, self.services)
    }
}

/// Everything of one scenario in one cluster, in the order of the systems.
#[derive(Debug)]
pub(crate) struct Tally {
    scenario: &'static str,
    services: u32,
    values: BTreeMap<(usize, System), (Sample, Vec<f64>)>,
    metrics: Vec<&'static str>,
}

impl Tally {
    pub(crate) const fn new(scenario: &'static str, services: u32) -> Self {
        Self {
            scenario,
            services,
            values: BTreeMap::new(),
            metrics: Vec::new(),
        }
    }

    /// Adds what one run of a system has given.
    pub(crate) fn add(&mut self, system: System, samples: &[Sample]) {
        for &sample in samples {
            let known = self.metrics.iter().position(|it| *it == sample.metric);
            let position = known.unwrap_or_else(|| {
                self.metrics.push(sample.metric);
                self.metrics.len() - 1
            });
            let (_, runs) = self
                .values
                .entry((position, system))
                .or_insert_with(|| (sample, Vec::new()));
            runs.push(sample.value);
        }
    }

    /// Metric by metric, in each system by system.
    pub(crate) fn measurements(self, occasion: &Occasion) -> Vec<Measurement> {
        let Self {
            scenario,
            services,
            values,
            ..
        } = self;
        let all = values.into_iter().map(|((_, system), (sample, runs))| {
            let mut sorted = runs.clone();
            sorted.sort_by(f64::total_cmp);
            Measurement {
                scenario: scenario.to_owned(),
                system: system.name().to_owned(),
                services,
                metric: sample.metric.to_owned(),
                unit: sample.unit.to_owned(),
                median: median(&sorted),
                min: sorted[0],
                max: sorted[sorted.len() - 1],
                runs,
                occasion: occasion.clone(),
            }
        });
        all.collect()
    }
}

#[cfg(test)]
impl Occasion {
    /// One at some commit.
    pub(crate) fn at(commit: &str) -> Self {
        Self {
            commit: commit.to_owned(),
            date: "2026-11-22".to_owned(),
            command: "cargo xtask bench".to_owned(),
        }
    }
}

#[cfg(test)]
impl Measurement {
    /// Of requests, of which there is one run at least, in ascending order.
    pub(crate) fn of_requests(scenario: &str, system: &str, services: u32, runs: &[f64]) -> Self {
        Self {
            scenario: scenario.to_owned(),
            system: system.to_owned(),
            services,
            metric: "requests".to_owned(),
            unit: "1/s".to_owned(),
            median: runs[0],
            min: runs[0],
            max: runs[runs.len() - 1],
            runs: runs.to_vec(),
            occasion: Occasion::at("c0ffee"),
        }
    }
}

/// Of sorted values, of which there is one at least.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_keep_their_order_and_the_median_is_between_them() {
        let mut tally = Tally::new("program-one", 10);
        for value in [3.0, 1.0, 2.0, 9.0] {
            tally.add(System::NetproxyTc, &[Sample::new("p50", "ms", value)]);
        }

        let measurements = tally.measurements(&Occasion::at("c0ffee"));

        let [one] = &measurements[..] else {
            panic!("{measurements:?}")
        };
        assert_eq!(one.runs, [3.0, 1.0, 2.0, 9.0]);
        assert_eq!((one.median, one.min, one.max), (2.5, 1.0, 9.0));
    }
}
