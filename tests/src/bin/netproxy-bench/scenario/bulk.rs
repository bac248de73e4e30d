//! `clusterip-bulk`: bytes of one connection.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Pace, Scenario};
use crate::{
    arena::Arena,
    cpu,
    measurement::Sample,
    system::System,
    web::{Way, What},
};

#[derive(Debug)]
pub(crate) struct Bulk;

impl Scenario for Bulk {
    fn name(&self) -> &'static str {
        "clusterip-bulk"
    }

    fn about(&self) -> &'static str {
        "A pod sends by one TCP connection to a cluster IP, whose endpoint is on another machine (iperf3)"
    }

    fn systems(&self) -> &'static [System] {
        &System::TO_CLUSTER_IPS
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn run(&self, arena: &Arena<'_>, system: System, pace: Pace) -> Result<Vec<Sample>> {
        let (from, to) = arena.road(system, Way::ClusterIp, What::Bulk)?;
        let (ip, port) = (to.ip().to_string(), to.port().to_string());
        let seconds = pace.choose("2", "1");
        let words = [
            "iperf3", "--json", "--client", &ip, "--port", &port, "--time", seconds,
        ];
        let text = cpu::run_at(&*from, cpu::CLIENT, &words)?;
        let report: Value = serde_json::from_str(&text).context("iperf3's report")?;
        let bits = report["end"]["sum_received"]["bits_per_second"].as_f64();
        let bits = bits.with_context(|| format!("iperf3 has no result: {text}"))?;
        Ok(vec![Sample::new("received", "Gbit/s", bits / 1e9)])
    }
}
