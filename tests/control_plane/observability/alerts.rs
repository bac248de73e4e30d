//! The rule file by itself: that promtool takes it, that each alert is tried, and what it tells people.

use std::fs;

use anyhow::{Context, Result, ensure};
use netproxy_lab::control_plane::promtool;
use serde_json::Value;

use super::ALERTS;

/// Series, and what is to fire.
const CASES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/control_plane/observability/alerts_test.yaml"
);
/// What tells what to do.
const OPERATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");

fn alerts() -> Result<Vec<Value>> {
    let file: Value = serde_saphyr::from_str(&fs::read_to_string(ALERTS)?)?;
    let groups = file["groups"].as_array().context("groups")?;
    let rules = groups
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten();
    let alerts: Vec<_> = rules.cloned().collect();
    ensure!(!alerts.is_empty());
    Ok(alerts)
}

#[test]
fn each_alert_fires_when_it_should_and_not_when_it_should_not() -> Result<()> {
    let checked = promtool(&["check", "rules", ALERTS])?;
    ensure!(checked.contains("SUCCESS"), "{checked}");

    promtool(&["test", "rules", CASES])?;

    let cases: Value = serde_saphyr::from_str(&fs::read_to_string(CASES)?)?;
    let checks: Vec<_> = cases["tests"]
        .as_array()
        .context("tests")?
        .iter()
        .filter_map(|test| test["promql_expr_test"].as_array())
        .flatten()
        .collect();
    for alert in alerts()? {
        let name = alert["alert"].as_str().context("a name")?;
        let selector = format!("alertname=\"{name}\"");
        let samples = checks
            .iter()
            .filter(|check| {
                check["expr"]
                    .as_str()
                    .is_some_and(|it| it.contains(&selector))
            })
            .filter_map(|check| check["exp_samples"].as_array());
        let (quiet, fires): (Vec<_>, Vec<_>) = samples.partition(|samples| samples.is_empty());
        ensure!(!quiet.is_empty(), "{name} is never seen to be quiet");
        ensure!(!fires.is_empty(), "{name} is never seen to fire");
    }
    Ok(())
}

#[test]
fn each_alert_tells_how_bad_it_is_what_is_wrong_and_where_to_read_what_to_do() -> Result<()> {
    let operations = fs::read_to_string(OPERATIONS)?;
    for alert in alerts()? {
        let name = alert["alert"].as_str().context("a name")?;
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        ensure!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}: {severity}"
        );
        for field in ["expr", "for"] {
            ensure!(alert[field].is_string(), "{name}: no {field}");
        }
        let annotation = |field: &str| {
            let text = alert["annotations"][field].as_str();
            text.with_context(|| format!("{name} has no {field}"))
        };
        ensure!(annotation("summary")?.len() < 100, "{name}");
        // What is wrong, and what to do.
        ensure!(
            annotation("description")?.matches(['.', ':']).count() >= 2,
            "{name}"
        );
        let anchor = format!("docs/operations.md#{}", name.to_lowercase());
        ensure!(annotation("runbook")? == anchor, "{name}: {anchor}");
        let is_told = operations.lines().any(|line| line == format!("### {name}"));
        ensure!(is_told, "docs/operations.md has no section {name}");
    }
    for line in operations.lines() {
        if let Some(name) = line.strip_prefix("### Netproxy") {
            let is_it = |alert: &Value| alert["alert"] == format!("Netproxy{name}");
            ensure!(
                alerts()?.iter().any(is_it),
                "there is no alert Netproxy{name}"
            );
        }
    }
    Ok(())
}
