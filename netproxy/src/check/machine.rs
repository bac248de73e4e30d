//! The machine's own account of itself: proc and sys, below any root.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Reads below the given roots.
#[derive(Debug)]
pub(super) struct Machine {
    proc: PathBuf,
    sys: PathBuf,
}

impl Machine {
    pub(super) fn new(proc: &Path, sys: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
            sys: sys.to_owned(),
        }
    }

    /// A path below proc.
    pub(super) fn proc(&self, path: &str) -> PathBuf {
        self.proc.join(path)
    }

    /// A path below sys.
    pub(super) fn sys(&self, path: &str) -> PathBuf {
        self.sys.join(path)
    }

    /// The value of a sysctl, trimmed; `None` where the kernel does not have it.
    pub(super) fn sysctl(&self, name: &str) -> io::Result<Option<String>> {
        let path = self.proc.join("sys").join(name.replace('.', "/"));
        match fs::read_to_string(path) {
            Ok(value) => Ok(Some(value.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of all devices.
    pub(super) fn devices(&self) -> Vec<String> {
        entries(&self.sys("class/net"))
    }

    /// The ports of a device, if it is a bridge.
    pub(super) fn bridge_ports(&self, device: &str) -> Vec<String> {
        entries(&self.sys("class/net").join(device).join("brif"))
    }

    /// Whether a bridge asks by itself for netfilter to see what IPv4 it switches.
    pub(super) fn asks_for_netfilter(&self, bridge: &str) -> bool {
        let path = self
            .sys("class/net")
            .join(bridge)
            .join("bridge/nf_call_iptables");
        fs::read_to_string(path).is_ok_and(|value| value.trim() == "1")
    }
}

fn entries(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
