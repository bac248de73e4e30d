//! What an operator wants to know before netproxy serves this node: the checks of
//! `netproxy check`, as data.
//!
//! Every check reads, none writes. A check that cannot look says so in its finding instead of
//! passing. Files are read below the roots given in [`CheckOptions`], so that a directory can play
//! the machine.

mod cgroup;
mod features;
mod finding;
mod forwarding;
mod kernel;
mod kube_proxy;
mod machine;
mod mounts;
mod ports;
mod privileges;

use std::ops::RangeInclusive;
use std::path::PathBuf;

pub use cgroup::{CgroupRoot, Reason, find_cgroup_root};
pub use finding::{Finding, Level};
use machine::Machine;
pub(crate) use mounts::is_mounted;
pub use ports::{free_source_ports, read_free_source_ports};

/// Where to look, and what the agent is going to be told.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The proc file system.
    pub proc: PathBuf,
    /// The sys file system.
    pub sys: PathBuf,
    /// Where the agent pins maps, programs and links.
    pub bpffs: PathBuf,
    /// The cgroup whose processes the socket hooks serve; `None`: the mount that the agent finds.
    pub cgroup: Option<PathBuf>,
    /// The cluster's NodePort range.
    pub node_ports: RangeInclusive<u16>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            bpffs: "/sys/fs/bpf".into(),
            cgroup: None,
            node_ports: 30000..=32767,
        }
    }
}

/// Looks at everything, in the order in which a person would mend it.
#[must_use]
pub fn run(options: &CheckOptions) -> Vec<Finding> {
    let machine = Machine::new(&options.proc, &options.sys);
    let mut findings = vec![privileges::check(&machine), kernel::version(&machine)];
    findings.push(kernel::btf(&machine));
    findings.extend(features::check());
    findings.push(kernel::jit(&machine));
    findings.push(mounts::bpffs(&options.bpffs));
    findings.push(cgroup::check(&machine, options.cgroup.as_deref()));
    findings.extend(forwarding::check(&machine));
    findings.extend(ports::check(&machine, &options.node_ports));
    findings.extend(kube_proxy::check(&machine));
    findings
}

#[cfg(test)]
mod tests;
