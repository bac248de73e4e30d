//! What a node gets before the agent starts: file systems that must be mounted, and kernel settings
//! without which nothing is forwarded. What `netproxy init` does, as data.
//!
//! A setting is only ever raised, and what is mounted already is left alone. Nothing here keeps the
//! agent from starting: what cannot be done is told, and `netproxy check` finds it as well.

mod mounts;
mod namespace;
mod setting;

use std::path::PathBuf;

/// Where to look, and what is wanted.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The mount namespace (`/proc/1/ns/mnt`) in which everything is done; `None`: this process's.
    pub mount_namespace: Option<PathBuf>,
    /// The proc file system, as seen from that namespace. The settings of the network are those of
    /// the network namespace that this process is in.
    pub proc: PathBuf,
    /// Where the agent pins maps, programs and links.
    pub bpffs: PathBuf,
    /// Where the cgroup v2 hierarchy is mounted if it is nowhere.
    pub cgroup: PathBuf,
    /// Whether IPv6 is to be forwarded. A node that learns its default route from router advertisements
    /// loses it then, unless `accept_ra` is 2 (`ndisc_router_discovery`).
    pub forwards_ipv6: bool,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self {
            mount_namespace: None,
            proc: "/proc".into(),
            bpffs: "/sys/fs/bpf".into(),
            cgroup: "/run/netproxy/cgroup".into(),
            forwards_ipv6: false,
        }
    }
}

/// One thing that was seen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is about, in a word or two.
    pub subject: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// What is the case now, or why it is not.
    pub told: String,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was to be done.
    Kept,
    /// It was done.
    Done,
    /// It could not be done.
    Failed,
}

impl Step {
    fn kept(subject: &'static str, told: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Kept, told)
    }

    fn done(subject: &'static str, told: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Done, told)
    }

    fn failed(subject: &'static str, told: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Failed, told)
    }

    fn new(subject: &'static str, outcome: Outcome, told: impl Into<String>) -> Self {
        Self {
            subject,
            outcome,
            told: told.into(),
        }
    }
}

/// Does everything, in the order in which `netproxy check` looks at it.
///
/// The mount namespace is entered for good: call it where nothing else is to be done, and from a
/// process with one thread.
#[must_use]
pub fn run(options: &InitOptions) -> Vec<Step> {
    let InitOptions {
        mount_namespace,
        proc,
        bpffs,
        cgroup,
        forwards_ipv6,
    } = options;
    if let Some(namespace) = mount_namespace
        && let Err(error) = namespace::enter(namespace)
    {
        // Mounted here, it would be seen by nobody.
        return vec![Step::failed("mount namespace", error)];
    }
    let mut steps = vec![mounts::bpffs(bpffs), mounts::cgroup(proc, cgroup)];
    steps.push(setting::raise(proc, "BPF JIT", "net.core.bpf_jit_enable"));
    steps.push(setting::raise(
        proc,
        "IPv4 forwarding",
        "net.ipv4.ip_forward",
    ));
    if *forwards_ipv6 {
        steps.push(setting::raise(
            proc,
            "IPv6 forwarding",
            "net.ipv6.conf.all.forwarding",
        ));
    }
    steps
}
