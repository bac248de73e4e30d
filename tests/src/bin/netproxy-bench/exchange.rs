//! Requests one after the other, timed: by `netproxy-traffic exchange`, a process in the place, where programs at sockets
//! meet it.

use std::net::SocketAddr;

use anyhow::Result;
use netproxy_lab::{Place, report::ExchangeReport};

use crate::{cpu, measurement::Sample};

/// Asks for so many seconds, by UDP or by HTTP; answers with what came of it.
pub(crate) fn ask(
    from: &dyn Place,
    to: SocketAddr,
    is_udp: bool,
    seconds: u64,
) -> Result<Vec<Sample>> {
    let (to, seconds) = (to.to_string(), seconds.to_string());
    let mut words = vec!["exchange", &to, "--seconds", &seconds];
    words.extend(is_udp.then_some("--udp"));
    let report: ExchangeReport = cpu::traffic_at(from, cpu::CLIENT, &words)?;
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 nothing is lost")]
    let float = |number: u64| number as f64;
    Ok(vec![
        Sample::new("requests", "1/s", float(report.answered) / report.seconds),
        Sample::new("latency, p50", "µs", float(report.p50_ns) / 1e3),
        Sample::new("latency, p99", "µs", float(report.p99_ns) / 1e3),
        Sample::new("failed", "requests", float(report.failed)),
    ])
}
