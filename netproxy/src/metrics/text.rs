//! The text format of Prometheus, version 0.0.4.
//!
//! The library writes `OpenMetrics`, which differs in what stands above a counter (its name without
//! `_total`) and an info (without `_info`, and a type of its own), and in the last line.

use std::fmt::{Error, Write as _};

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

/// All of `registry`.
pub(super) fn encode(registry: &Registry) -> Result<String, Error> {
    let mut open_metrics = String::new();
    encode_registry(&mut open_metrics, registry)?;
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // Its type, in the next line, tells what it is called.
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            if let Some((name, meaning)) = help.take() {
                writeln!(text, "# HELP {name}{suffix} {meaning}")?;
            }
            writeln!(text, "# TYPE {name}{suffix} {kind}")?;
        } else {
            writeln!(text, "{line}")?;
        }
    }
    Ok(text)
}
