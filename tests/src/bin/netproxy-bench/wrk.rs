//! HTTP requests as fast as they are answered, by wrk.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use netproxy_lab::Place;

use crate::{cpu, measurement::Sample};

/// How many connections it has at a time.
const CONNECTIONS: &str = "32";

/// What it saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Requests that were answered, in a second.
    rate: f64,
    /// Of one request, in microseconds.
    p50_us: f64,
    p99_us: f64,
    /// Requests that failed.
    failed: f64,
}

/// Asks for so many seconds.
pub(crate) fn ask(
    from: &dyn Place,
    to: SocketAddr,
    is_kept_alive: bool,
    seconds: u64,
) -> Result<Seen> {
    let (duration, url) = (format!("{seconds}s"), format!("http://{to}/"));
    let mut words = vec!["wrk", "--threads", "1", "--connections", CONNECTIONS];
    words.extend(["--duration", &duration, "--timeout", "5s", "--latency"]);
    if !is_kept_alive {
        words.extend(["--header", "Connection: close"]);
    }
    words.push(&url);
    let text = cpu::run_at(from, cpu::CLIENT, &words)?;
    let seen = parse(&text).with_context(|| format!("not wrk's report: {text}"))?;
    ensure!(seen.rate > 0.0, "{to} answers nothing: {text}");
    Ok(seen)
}

impl Seen {
    /// Requests that were answered, in a second.
    pub(crate) const fn rate(self) -> f64 {
        self.rate
    }

    /// As results have it.
    pub(crate) fn samples(self) -> Vec<Sample> {
        vec![
            Sample::new("requests", "1/s", self.rate),
            Sample::new("latency, p50", "µs", self.p50_us),
            Sample::new("latency, p99", "µs", self.p99_us),
            Sample::new("failed", "requests", self.failed),
        ]
    }
}

fn parse(text: &str) -> Option<Seen> {
    let mut seen = Seen::default();
    let mut has_rate = false;
    for line in text.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        match (first, words.next_back()) {
            ("50%", Some(time)) => seen.p50_us = microseconds(time)?,
            ("99%", Some(time)) => seen.p99_us = microseconds(time)?,
            ("Requests/sec:", Some(rate)) => {
                seen.rate = rate.parse().ok()?;
                has_rate = true;
            }
            // "Socket errors: connect 0, read 12, write 0, timeout 0"
            ("Socket", Some(_)) => {
                let words = line.split([' ', ',']);
                seen.failed += words.filter_map(|it| it.parse::<f64>().ok()).sum::<f64>();
            }
            ("Non-2xx", Some(count)) => seen.failed += count.parse::<f64>().ok()?,
            _ => {}
        }
    }
    has_rate.then_some(seen)
}

/// "1.02ms".
fn microseconds(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 6e7)];
    let (text, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(text.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_with_its_units_and_its_errors() {
        let text = "Running 2s test @ http://10.96.0.10:80/\n  1 threads and 32 connections\n  \
                    Thread Stats   Avg      Stdev     Max   +/- Stdev\n    \
                    Latency     1.18ms    1.02ms  12.30ms   91.00%\n  Latency Distribution\n     \
                    50%  870.00us\n     75%    1.30ms\n     90%    2.10ms\n     99%    5.02ms\n  \
                    30211 requests in 2.00s, 5.62MB read\n  \
                    Socket errors: connect 1, read 2, write 0, timeout 3\n  \
                    Non-2xx or 3xx responses: 4\nRequests/sec:  15101.42\nTransfer/sec:  2.81MB\n";

        let seen = parse(text);

        let wanted = Seen {
            rate: 15_101.42,
            p50_us: 870.0,
            p99_us: 5020.0,
            failed: 10.0,
        };
        assert_eq!(seen, Some(wanted));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert_eq!(
            parse("unable to connect to 10.96.0.10:80 Connection refused"),
            None
        );
    }
}
