//! What is left behind: `results.json` for programs, `report.md` with its pictures for people.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    machine::Machine,
    measurement::{Measurement, Occasion},
    plot::Picture,
    ratio::Ratio,
    results::Results,
    scenario,
    system::System,
    target,
};

/// The page of the documents, and the directory beside it.
const PUBLISHED: &str = "benchmarks";

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) results: Results,
}

impl Report {
    /// Writes `results.json`, `report.md` and the pictures.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        self.write_data(directory)?;
        write(&directory.join("report.md"), &self.markdown("")?)
    }

    /// Writes the page of the documents, with its pictures and data in a directory beside it. What stands there of other
    /// scenarios stays. What is in `log.md` there ends the page.
    pub(crate) fn publish(&self, documents: &Path) -> Result<()> {
        let directory = documents.join(PUBLISHED);
        let mut results = Results::read(&directory)?;
        results.replace_by(&self.results);
        let whole = Self {
            machine: self.machine.clone(),
            results,
        };
        whole.write_data(&directory)?;
        let mut text = whole.markdown(&format!("{PUBLISHED}/"))?;
        let log = directory.join("log.md");
        if log.exists() {
            let log = fs::read_to_string(&log)
                .with_context(|| format!("{} cannot be read", log.display()))?;
            write!(text, "\n{log}")?;
        }
        write(&documents.join(format!("{PUBLISHED}.md")), &text)
    }

    fn write_data(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        self.results.write(directory)?;
        for scenario in scenario::ALL {
            let measurements = self.headline(scenario.name());
            if !measurements.is_empty() {
                let picture = Picture {
                    title: scenario.name(),
                    measurements: &measurements,
                };
                picture.write(&directory.join(picture_of(scenario.name())))?;
            }
        }
        Ok(())
    }

    /// The first metric of a scenario, which stands for it.
    fn headline(&self, scenario: &str) -> Vec<&Measurement> {
        let of_it = |it: &&Measurement| it.scenario == scenario;
        let all: Vec<_> = self.results.measurements.iter().filter(of_it).collect();
        let first = all.first().map(|it| &it.metric);
        let is_first = |it: &&&Measurement| Some(&it.metric) == first;
        all.iter().filter(is_first).copied().collect()
    }

    /// The page, whose pictures are at `pictures`.
    fn markdown(&self, pictures: &str) -> Result<String> {
        let Machine {
            kernel,
            cpu,
            memory,
        } = &self.machine;
        let mut text = format!(
            "# Benchmark\n\n\
             - kernel: {kernel}\n- CPU: {cpu}\n- memory: {memory}\n\n\
             Systems took turns. Medians; in brackets the least and the most of all runs. Ratios are means over pairs of \
             one turn; in brackets the interval in which they are with a probability of 95 %.\n"
        );
        write!(
            text,
            "\n## What is aimed at\n\n{}",
            target::table(&self.results)?
        )?;
        for scenario in scenario::ALL {
            let of_it = |it: &&Measurement| it.scenario == scenario.name();
            let found: Vec<_> = self.results.measurements.iter().filter(of_it).collect();
            let missing: Vec<_> = self
                .results
                .unfinished
                .iter()
                .filter(|it| it.scenario == scenario.name())
                .collect();
            if found.is_empty() && missing.is_empty() {
                continue;
            }
            write!(text, "\n## {}\n\n{}.\n", scenario.name(), scenario.about())?;
            text += &self.occasions(scenario.name())?;
            if !found.is_empty() {
                let (name, file) = (scenario.name(), picture_of(scenario.name()));
                writeln!(text, "\n![{name}]({pictures}{file})")?;
            }
            let mut sizes: Vec<_> = found.iter().map(|it| it.services).collect();
            sizes.sort_unstable();
            sizes.dedup();
            for services in sizes {
                let rows: Vec<_> = found
                    .iter()
                    .filter(|it| it.services == services)
                    .copied()
                    .collect();
                write!(text, "\n{services} services:\n\n{}", table(&rows)?)?;
                if scenario.is_traffic() {
                    let rates: Vec<_> = rows
                        .iter()
                        .filter(|it| it.metric == rows[0].metric)
                        .copied()
                        .collect();
                    write!(text, "\n{}", ratios(&rates)?)?;
                }
            }
            for it in missing {
                writeln!(
                    text,
                    "\n{} with {} services did not finish: {}",
                    it.system, it.services, it.reason
                )?;
            }
        }
        Ok(text)
    }

    /// When and how a scenario was measured.
    fn occasions(&self, scenario: &str) -> Result<String> {
        let occasions = self.results.occasions(scenario);
        let mut text = String::new();
        for (occasion, sizes) in &occasions {
            let Occasion {
                commit,
                date,
                command,
            } = occasion;
            let sizes: Vec<_> = sizes.iter().map(ToString::to_string).collect();
            let which = match &occasions[..] {
                [_] => String::new(),
                _ => format!(", {} services", sizes.join(" and ")),
            };
            write!(text, "\n`{command}` at {commit}, {date}{which}\n")?;
        }
        Ok(text)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// A row for each metric, a column for each system.
fn table(measurements: &[&Measurement]) -> Result<String> {
    let (mut systems, mut metrics) = (Vec::new(), Vec::new());
    for it in measurements {
        let metric = (&*it.metric, &*it.unit);
        if !systems.contains(&&*it.system) {
            systems.push(&*it.system);
        }
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    let mut text = format!(
        "| | {} |\n|---|{}\n",
        systems.join(" | "),
        "---:|".repeat(systems.len())
    );
    for (metric, unit) in metrics {
        write!(text, "| {metric} ({unit}) |")?;
        for system in &systems {
            let found = measurements
                .iter()
                .find(|it| (&*it.metric, &&*it.system) == (metric, system));
            match found {
                Some(it) if it.runs.len() > 1 => {
                    let (median, min, max) = (round(it.median), round(it.min), round(it.max));
                    write!(text, " {median} ({min}–{max}) |")?;
                }
                Some(it) => write!(text, " {} |", round(it.median))?,
                None => text += " – |",
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// How many times as much each system does as those that it is compared with.
fn ratios(rates: &[&Measurement]) -> Result<String> {
    let baselines = [
        System::Direct,
        System::KubeProxyNftables,
        System::KubeProxyIptables,
    ];
    let of = |system: System| rates.iter().find(|it| it.system == system.name());
    let baselines: Vec<_> = baselines.into_iter().filter_map(of).collect();
    let mut text = format!("| {} of |", rates.first().map_or("", |it| &it.metric));
    for baseline in &baselines {
        write!(text, " {} |", baseline.system)?;
    }
    write!(text, "\n|---|{}\n", "---:|".repeat(baselines.len()))?;
    for ours in rates {
        write!(text, "| {} |", ours.system)?;
        for baseline in &baselines {
            let ratio = Ratio::of_pairs(&ours.runs, &baseline.runs);
            match ratio.filter(|_| ours.system != baseline.system) {
                None => text += " |",
                Some(Ratio {
                    mean,
                    interval: Some((low, high)),
                }) => write!(text, " {mean:.3} ({low:.3}–{high:.3}) |")?,
                Some(Ratio { mean, .. }) => write!(text, " {mean:.3} |")?,
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// The file of a scenario's picture.
fn picture_of(scenario: &str) -> String {
    format!("{scenario}.svg")
}

/// Three digits that say something.
pub(crate) fn round(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        it if it >= 100.0 => format!("{value:.0}"),
        it if it >= 10.0 => format!("{value:.1}"),
        it if it >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(system: &str, runs: &[f64]) -> Measurement {
        Measurement {
            metric: "resident".to_owned(),
            unit: "MB".to_owned(),
            ..Measurement::of_requests("agent-memory", system, 1_000, runs)
        }
    }

    #[test]
    fn a_table_has_a_column_for_each_system_and_shows_the_spread() {
        let (first, second) = (
            measurement("netproxy-tc", &[12.34, 15.0]),
            measurement("direct", &[0.5]),
        );

        let table = table(&[&first, &second]).unwrap();

        assert_eq!(
            table,
            "| | netproxy-tc | direct |\n|---|---:|---:|\n\
             | resident (MB) | 12.3 (12.3–15.0) | 0.500 |\n"
        );
    }
}
