//! What a program uses of CPU and memory, with all that it starts and with what the kernel keeps for it:
//! a cgroup of its own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use netproxy_lab::{Lab, Node, Place, Process, wait_until};

/// The memory controller where cgroups of the first version have it.
const MEMORY_V1: &str = "/sys/fs/cgroup/memory";

/// How long what a program has started may take to end after it.
const LONGEST_END: Duration = Duration::from_secs(2);

/// A cgroup for one program.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Of the second version: CPU time, and memory unless the first version has that.
    unified: PathBuf,
    memory: Memory,
    starter: PathBuf,
}

/// Who accounts for memory.
#[derive(Debug)]
enum Memory {
    V1(PathBuf),
    V2(PathBuf),
}

/// CPU time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

/// What a process itself has in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) now_bytes: f64,
    pub(crate) peak_bytes: f64,
}

impl Meter {
    /// Makes one for a program of `node`. It ends with the lab; the programs in it do, too.
    pub(crate) fn create(lab: &Lab, node: &Node) -> Result<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("meter-{}", MADE.fetch_add(1, Ordering::Relaxed));
        let base = node
            .cgroup()
            .parent()
            .context("a node's cgroup has no parent")?;
        let unified = base.join(&name);
        let memory = if Path::new(MEMORY_V1).join("memory.usage_in_bytes").exists() {
            let directory =
                Path::new(MEMORY_V1).join(format!("netproxy-bench-{}-{name}", lab.id()));
            make(&directory)?;
            Memory::V1(directory)
        } else {
            hand_down_memory(base)?;
            Memory::V2(unified.clone())
        };
        make(&unified)?;
        let starter = lab.directory().join(format!("{name}.sh"));
        Ok(Self {
            unified,
            memory,
            starter,
        })
    }

    /// A program that starts this one in the cgroup, before its first instruction.
    pub(crate) fn starter(&self, program: &Path) -> Result<&Path> {
        let join = |it: &PathBuf| format!("echo 0 >'{}/cgroup.procs' || exit 1", it.display());
        let mut lines = vec!["#!/bin/sh".to_owned()];
        lines.extend(self.directories().map(join));
        lines.push(format!("TZ=UTC exec '{}' \"$@\"", program.display()));
        let write = || {
            fs::write(&self.starter, lines.join("\n"))?;
            fs::set_permissions(&self.starter, fs::Permissions::from_mode(0o755))
        };
        write().with_context(|| format!("{} cannot be written", self.starter.display()))?;
        Ok(&self.starter)
    }

    /// CPU time so far, of children that have ended, too.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let stat = read(&self.unified.join("cpu.stat"))?;
        let of = |name| field(&stat, name).map(Duration::from_micros);
        Ok(Cpu {
            user: of("user_usec")?,
            system: of("system_usec")?,
        })
    }

    /// What is charged to the cgroup in bytes, that of the kernel included, without file pages that nobody
    /// has used lately: what the kubelet calls the working set.
    pub(crate) fn working_set(&self) -> Result<f64> {
        let (directory, usage, inactive) = match &self.memory {
            Memory::V1(it) => (it, "memory.usage_in_bytes", "total_inactive_file"),
            Memory::V2(it) => (it, "memory.current", "inactive_file"),
        };
        let usage = number(&read(&directory.join(usage))?)?;
        let inactive = field(&read(&directory.join("memory.stat"))?, inactive)?;
        Ok(bytes(usage.saturating_sub(inactive)))
    }

    /// The most that was ever charged to the cgroup, in bytes.
    pub(crate) fn peak(&self) -> Result<f64> {
        let path = match &self.memory {
            Memory::V1(it) => it.join("memory.max_usage_in_bytes"),
            Memory::V2(it) => it.join("memory.peak"),
        };
        Ok(bytes(number(&read(&path)?)?))
    }

    fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        let v1 = match &self.memory {
            Memory::V1(directory) => Some(directory),
            Memory::V2(_) => None,
        };
        [&self.unified].into_iter().chain(v1)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // The lab removes its own. What the program has started ends right after it.
        if let Memory::V1(directory) = &self.memory {
            let is_gone = || Ok(fs::remove_dir(directory).is_ok() || !directory.exists());
            let _ = wait_until("the cgroup is empty", LONGEST_END, is_gone);
        }
    }
}

impl Resident {
    /// Of a process that runs.
    pub(crate) fn of(process: &Process) -> Result<Self> {
        let status = read(&PathBuf::from(format!("/proc/{}/status", process.pid())))?;
        let of = |name| field(&status, name).map(|kib| bytes(kib * 1024));
        Ok(Self {
            now_bytes: of("VmRSS:")?,
            peak_bytes: of("VmHWM:")?,
        })
    }
}

/// Has the cgroups down to `base` hand the memory controller on.
fn hand_down_memory(base: &Path) -> Result<()> {
    let has_control = |it: &&Path| it.join("cgroup.subtree_control").exists();
    let mut ancestors: Vec<_> = base.ancestors().take_while(has_control).collect();
    ancestors.reverse();
    for directory in ancestors {
        let path = directory.join("cgroup.subtree_control");
        fs::write(&path, "+memory")
            .with_context(|| format!("{} does not take +memory", path.display()))?;
    }
    Ok(())
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("the cgroup {} cannot be made", directory.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Result<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    let found = lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next())?);
    number(found.with_context(|| format!("no {name} in: {text}"))?)
}

fn number(text: &str) -> Result<u64> {
    text.trim()
        .parse()
        .with_context(|| format!("not a number: {text}"))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "below 2^53 bytes nothing is lost"
)]
fn bytes(count: u64) -> f64 {
    count as f64
}
