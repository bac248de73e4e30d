//! What the agent's process takes, by the names that every exporter of processes uses.

use std::fmt::Error;
use std::fs::{self, File};
use std::io::BufReader;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit};
use nix::time::{ClockId, clock_gettime};
use procfs_core::FromBufRead as _;
use procfs_core::process::Status;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::syncs::unix_s;

/// Looks at its own process when asked. What cannot be read is left out.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    started: Timestamp,
}

impl ProcessMetrics {
    /// Of a process that started at `started`.
    pub(super) const fn new(started: Timestamp) -> Self {
        Self { started }
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        if let Ok(time) = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID) {
            let seconds = ConstCounter::new(Duration::from(time).as_secs_f64());
            let help = "User and system CPU time, in seconds.";
            let kind = seconds.metric_type();
            seconds.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                kind,
            )?)?;
        }
        let mut tell = |name: &str, help: &str, value: f64| {
            let value = ConstGauge::new(value);
            let kind = value.metric_type();
            value.encode(encoder.encode_descriptor(name, help, None, kind)?)
        };
        tell(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            unix_s(self.started),
        )?;
        let status = File::open("/proc/self/status").ok();
        let status = status.and_then(|file| Status::from_buf_read(BufReader::new(file)).ok());
        if let Some(kib) = status.as_ref().and_then(|status| status.vmrss) {
            let help = "Memory of the process that is resident, in bytes.";
            tell("process_resident_memory_bytes", help, as_f64(kib * 1024))?;
        }
        if let Some(kib) = status.and_then(|status| status.vmsize) {
            let help = "Virtual memory of the process, in bytes.";
            tell("process_virtual_memory_bytes", help, as_f64(kib * 1024))?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is for looking.
            let count = open.count().saturating_sub(1);
            tell(
                "process_open_fds",
                "Open file descriptors.",
                as_f64(count as u64),
            )?;
        }
        if let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let help = "How many file descriptors may be open.";
            tell("process_max_fds", help, as_f64(limit))?;
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "values of metrics are floating-point numbers"
)]
const fn as_f64(value: u64) -> f64 {
    value as f64
}
