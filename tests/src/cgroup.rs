//! The lab's directories in the cgroup v2 tree: `netproxy-lab/<lab>/<node>`, and pods' below their
//! node's, named as the kubelet names them.
//!
//! They are what the socket hooks attach to, and how the lab finds its processes to end them. No
//! controller is switched on below, so a node's cgroup may hold processes and pods' cgroups at once.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How long the kernel may take to end killed processes.
const LONGEST_DEATH: Duration = Duration::from_secs(10);

/// Where the cgroup v2 tree is mounted.
///
/// # Errors
/// When it is not.
pub(crate) fn mount_point() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    mounts
        .lines()
        .find_map(|line| {
            let mut fields = line.split(' ');
            let (_, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(at))
        })
        .context(
            "no cgroup v2 tree is mounted: mkdir -p /sys/fs/cgroup/unified && \
             mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
        )
}

/// Makes the directory.
pub(crate) fn create(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("the cgroup {} cannot be made", directory.display()))
}

/// The file that takes the pids of those who join.
pub(crate) fn procs(directory: &Path) -> Result<File> {
    let path = directory.join("cgroup.procs");
    OpenOptions::new()
        .write(true)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))
}

/// Kills every process in the cgroup and below it, waits until they are gone, and removes the
/// directories. A cgroup that is not there is no error.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    let reason = || format!("the cgroup {} cannot be removed", directory.display());
    match fs::write(directory.join("cgroup.kill"), "1") {
        Err(error) if !is_gone(&error) => return Err(error).with_context(reason),
        _ => {}
    }
    let deadline = Instant::now() + LONGEST_DEATH;
    loop {
        match remove_empty(directory) {
            Ok(()) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) if error.kind() != ErrorKind::ResourceBusy => {
                return Err(error).with_context(reason);
            }
            Err(_) if Instant::now() > deadline => {
                bail!("{}: its processes do not die", reason());
            }
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn remove_empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            match remove_empty(&entry.path()) {
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
        }
    }
    fs::remove_dir(directory)
}

/// Two may remove one lab at the same time (its watchdog, and another lab that sweeps).
fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ENODEV)
}
