//! What it was measured on.

use std::fs;

use nix::sys::utsname::uname;

/// This machine; what cannot be told is `unknown`.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) memory: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            kernel: uname().map_or_else(|_| unknown(), |it| it.release().to_string_lossy().into()),
            cpu: cpu().unwrap_or_else(unknown),
            memory: memory().unwrap_or_else(unknown),
        }
    }
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let of = |name| {
        let lines = text.lines().filter(move |line| line.starts_with(name));
        lines
            .filter_map(|line| line.split_once(": "))
            .map(|(_, value)| value)
    };
    Some(format!(
        "{} × {}",
        of("processor").count(),
        of("model name").next()?
    ))
}

fn memory() -> Option<String> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!("{} GiB", kib >> 20))
}
