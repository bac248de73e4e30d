//! What an agent tells at `/metrics`.

use std::{collections::BTreeMap, net::Ipv4Addr};

use anyhow::{Context, Result, ensure};

use crate::{Node, Traffic, url};

/// Where agents are measured, for processes of their node only.
const PORT: u16 = 10_249;
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics: values by series, which are written as on the page.
#[derive(Clone, Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Asks the agent of `node`.
    ///
    /// # Errors
    /// When it does not answer, or with anything but metrics.
    pub fn of(node: &Node) -> Result<Self> {
        let fetched = node.fetch("GET", &(url(Ipv4Addr::LOCALHOST, PORT) + "metrics"))?;
        let kind = fetched.headers.get("content-type").map(String::as_str);
        ensure!(
            fetched.status == 200 && kind == Some(CONTENT_TYPE),
            "not metrics: {fetched:?}"
        );
        let lines = fetched.body.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').context("no value")?;
            anyhow::Ok((series.to_owned(), value.parse()?))
        });
        Ok(Self(series.collect::<Result<_>>()?))
    }

    /// The value of a series; None where there is no such.
    #[must_use]
    pub fn find(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The value of a series.
    ///
    /// # Errors
    /// Where there is no such.
    pub fn value(&self, series: &str) -> Result<f64> {
        self.find(series)
            .with_context(|| format!("no {series} in {:#?}", self.0.keys()))
    }

    /// All series whose name and labels begin so.
    pub fn starting_with(&self, start: &str) -> impl Iterator<Item = (&str, f64)> {
        let found = self.0.iter().filter(move |(it, _)| it.starts_with(start));
        found.map(|(series, value)| (series.as_str(), *value))
    }
}
