//! The dashboard, with the questions that its panels and variables ask.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, bail, ensure};
use netproxy_lab::control_plane::Prometheus;
use serde_json::Value;

use super::{ALERTS, JOB};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../deploy/helm/netproxy/files/dashboard.json"
);
/// What Grafana puts in place of variables where all nodes are chosen, and what stands for the time shown, and
/// for the interval that it makes of that.
const VARIABLES: [(&str, &str); 4] = [
    ("$__range", "5m"),
    ("$__rate_interval", "1m"),
    ("$instance", ".*"),
    ("$job", JOB),
];
/// How metrics of agents begin.
const PREFIXES: [&str; 4] = ["netproxy_", "kubeproxy_", "process_", "rest_client_"];

/// One question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The panel or variable that asks it.
    pub(super) by: String,
    pub(super) expression: String,
}

fn dashboard() -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(FILE)?)?)
}

fn list<'a>(value: &'a Value, what: &str) -> Result<&'a Vec<Value>> {
    value.as_array().with_context(|| format!("no {what}"))
}

/// All questions, with the variables filled in.
pub(super) fn questions() -> Result<Vec<Question>> {
    let dashboard = dashboard()?;
    let mut found = Vec::new();
    for panel in list(&dashboard["panels"], "panels")? {
        let by = panel["title"].as_str().context("a title")?;
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().context("an expression")?;
            found.push(question(by, expression)?);
        }
    }
    ensure!(found.len() > 30, "{found:#?}");
    for variable in list(&dashboard["templating"]["list"], "variables")? {
        if variable["type"] == "query" {
            let by = variable["name"].as_str().context("a name")?;
            let definition = variable["query"]["query"].as_str().context("a query")?;
            let words = definition
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|rest| rest.rsplit_once(", "));
            let (selector, label) = words.with_context(|| definition.to_owned())?;
            found.push(question(by, &format!("group by ({label}) ({selector})"))?);
        }
    }
    Ok(found)
}

fn question(by: &str, expression: &str) -> Result<Question> {
    let mut expression = expression.to_owned();
    for (variable, value) in VARIABLES {
        expression = expression.replace(variable, value);
    }
    ensure!(
        !expression.contains('$'),
        "{by}: nobody fills this in: {expression}"
    );
    Ok(Question {
        by: by.to_owned(),
        expression,
    })
}

/// Whether the answer has a number.
pub(super) fn is_answered(prometheus: &Prometheus<'_>, question: &Question) -> Result<bool> {
    let samples = prometheus.query(&question.expression)?;
    Ok(samples.iter().any(|sample| sample.value.is_finite()))
}

/// What an expression names: metrics of agents, and values of these labels.
fn named<'a>(text: &'a str, label: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(label) {
        let rest = &text[at + label.len()..];
        let operators = ["=~\"", "!~\"", "=\"", "!=\""];
        let values = operators.iter().find_map(|it| rest.strip_prefix(it));
        if let Some((values, _)) = values.and_then(|rest| rest.split_once('"')) {
            found.extend(values.split('|'));
        }
    }
    found
}

/// Sees that the agents export every metric that the rule file or the dashboard names, and count every event.
pub(super) fn ensure_exported(prometheus: &Prometheus<'_>) -> Result<()> {
    let rules = fs::read_to_string(ALERTS)?;
    let expressions = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let mut texts: Vec<_> = expressions.map(str::to_owned).collect();
    texts.extend(questions()?.into_iter().map(|it| it.expression));
    let exported = prometheus.values_of("__name__")?;
    let events = prometheus.values_of("event")?;
    let is_exported = |name: &str| exported.iter().any(|it| it == name);
    let is_event = |name: &str| events.iter().any(|it| it == name);
    let mut count = 0;
    for text in &texts {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| PREFIXES.iter().any(|start| word.starts_with(start))) {
            count += 1;
            ensure!(is_exported(word), "no agent exports {word}: {text}");
        }
        for label in ["event", "reason"] {
            for name in named(text, label) {
                ensure!(is_event(name), "no agent counts {name}: {text}");
            }
        }
    }
    ensure!(count > 50, "{count}");
    Ok(())
}

#[test]
fn panels_have_a_place_a_unit_and_a_description_of_their_own() -> Result<()> {
    let dashboard = dashboard()?;
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in list(&dashboard["panels"], "panels")? {
        let title = panel["title"].as_str().context("a title")?;
        ensure!(
            ids.insert(panel["id"].to_string()),
            "{title}: its id is another's"
        );
        let of = |side: &str| panel["gridPos"][side].as_u64().context(side.to_owned());
        let (x, y, w, h) = (of("x")?, of("y")?, of("w")?, of("h")?);
        ensure!(x + w <= 24, "{title} is too wide");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            ensure!(taken.insert(cell), "{title} is above another one");
        }
        if panel["type"] == "row" {
            continue;
        }
        let text = panel["description"].as_str().unwrap_or_default();
        ensure!(!text.is_empty(), "{title} has no description");
        let has_unit = panel["fieldConfig"]["defaults"]["unit"].is_string();
        ensure!(has_unit || panel["type"] == "table", "{title} has no unit");
        for target in list(&panel["targets"], "targets")? {
            for one in [&panel["datasource"], &target["datasource"]] {
                ensure!(one["uid"] == "${datasource}", "{title}: {one}");
            }
            // Alerts have the labels that their expressions have.
            let expression = target["expr"].as_str().context("an expression")?;
            let chosen = expression.matches("instance=~\"$instance\"").count();
            let selectors = expression.matches('{').count();
            let is_of_alerts = expression.contains("ALERTS");
            ensure!(chosen == selectors || is_of_alerts, "{title}: {expression}");
        }
    }
    Ok(())
}

#[test]
fn the_dashboard_can_be_told_which_source_job_and_nodes_to_show() -> Result<()> {
    let dashboard = dashboard()?;
    let variables = list(&dashboard["templating"]["list"], "variables")?;
    let names: Vec<_> = variables.iter().map(|it| &it["name"]).collect();
    if names != ["datasource", "job", "instance"] {
        bail!("{names:?}");
    }
    Ok(())
}
