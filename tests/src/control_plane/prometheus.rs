//! Prometheus beside the control plane: it scrapes places of the lab, and evaluates rules.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ControlPlane, await_component, etcd::listens, tools::Tools};
use crate::{Lab, place::run};

/// Where it answers, in the underlay's namespace.
const PORT: u16 = 9090;

/// A Prometheus of a lab.
#[derive(Debug)]
pub struct Prometheus<'lab> {
    lab: &'lab Lab,
}

/// One series of an answer, with its value.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The labels by name, that of the metric as `__name__`.
    pub labels: BTreeMap<String, String>,
    /// The value; it may be no number.
    pub value: f64,
}

/// An alert whose condition is met.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    /// `pending` or `firing`.
    pub state: String,
    /// Its name as `alertname`, and those of the series.
    pub labels: BTreeMap<String, String>,
    /// What is told to people, filled in.
    pub annotations: BTreeMap<String, String>,
}

impl<'lab> ControlPlane<'lab> {
    /// Starts one that scrapes these targets each second, in one job, and evaluates these rules as often.
    /// A target has a name, as the Prometheus Operator is told to give it the node's.
    ///
    /// # Errors
    /// When it was not unpacked (`cargo xtask tools`), or does not start; with the end of its log.
    pub fn start_prometheus(
        &self,
        job: &str,
        targets: &[(&str, SocketAddr)],
        rules: &Path,
    ) -> Result<Prometheus<'lab>> {
        let directory = self.directory.join("prometheus");
        fs::create_dir(&directory)?;
        let targets: Vec<_> = targets
            .iter()
            .map(|(name, address)| json!({"targets": [address], "labels": {"instance": name}}))
            .collect();
        // JSON is YAML.
        let configuration = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [{"job_name": job, "static_configs": targets}],
        });
        let file = directory.join("prometheus.yaml");
        fs::write(&file, configuration.to_string())?;
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, PORT).into();
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", directory.display()),
            format!("--web.listen-address={address}"),
            "--log.level=warn".to_owned(),
        ];
        let process = self.spawn("prometheus", &arguments)?;
        await_component(&process, "Prometheus listens", || {
            listens(self.lab, address)
        })?;
        Ok(Prometheus { lab: self.lab })
    }
}

impl Prometheus<'_> {
    /// What the expression is now.
    ///
    /// # Errors
    /// When it is none.
    pub fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        #[derive(Deserialize)]
        struct Series {
            metric: BTreeMap<String, String>,
            value: (f64, String),
        }
        let data = self.ask("query", &[("query", expression)])?;
        ensure!(data["resultType"] == "vector", "{expression}: {data}");
        let series: Vec<Series> = serde_json::from_value(data["result"].clone())?;
        let samples = series.into_iter().map(|one| {
            Ok(Sample {
                labels: one.metric,
                value: one.value.1.parse()?,
            })
        });
        samples.collect()
    }

    /// All values of a label.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn values_of(&self, label: &str) -> Result<Vec<String>> {
        let values = self.ask(&format!("label/{label}/values"), &[])?;
        Ok(serde_json::from_value(values)?)
    }

    /// Alerts that wait or fire.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        let mut data = self.ask("alerts", &[])?;
        Ok(serde_json::from_value(data["alerts"].take())?)
    }

    fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Result<Value> {
        let url = format!("http://127.0.0.1:{PORT}/api/v1/{path}");
        let mut words = vec!["curl", "--silent", "--show-error", "--get", &url];
        let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
        for field in &fields {
            words.extend(["--data-urlencode", field]);
        }
        let text = self.lab.fabric().run(&words)?;
        let mut answer: Value = serde_json::from_str(&text)
            .with_context(|| format!("not an answer of Prometheus: {text}"))?;
        ensure!(answer["status"] == "success", "{path} {fields:?}: {text}");
        Ok(answer["data"].take())
    }
}

/// Runs promtool, and answers with its standard output.
///
/// # Errors
/// When it fails, with what it wrote to standard error.
pub fn promtool(words: &[&str]) -> Result<String> {
    let mut command = Command::new(Tools::find()?.path("promtool")?);
    command.args(words);
    run("promtool", command)
}
