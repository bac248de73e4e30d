//! The cgroup whose processes the socket hooks serve.

mod root;
mod seat;

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use nix::sys::statfs::CGROUP2_SUPER_MAGIC;
use procfs_core::FromBufRead as _;
use procfs_core::process::{MountInfo, MountInfos};

pub use self::root::{CgroupRoot, Reason};
use self::root::{Evidence, decide};
use self::seat::Seat;
use super::Finding;
use super::machine::Machine;
use super::mounts::is_mounted;

const SUBJECT: &str = "cgroup v2";

/// The kernel's number for the first cgroup namespace (`PROC_CGROUP_INIT_INO`).
const FIRST_NAMESPACE: &str = "cgroup:[4026531835]";

/// The mounted cgroup that has the node's processes below it, according to what `proc` tells;
/// `None`: no cgroup v2 hierarchy is mounted.
///
/// # Errors
/// When our own mounts cannot be read. What else cannot be is no evidence.
pub fn find_cgroup_root(proc: &Path) -> io::Result<Option<CgroupRoot>> {
    let namespace = fs::read_link(proc.join("self/ns/cgroup"));
    let seat = |process: &str| {
        let cgroups = fs::read_to_string(proc.join(process).join("cgroup")).ok()?;
        Seat::of_process(&cgroups)
    };
    Ok(decide(&Evidence {
        mounts: mounts(&proc.join("self/mountinfo"))?,
        is_private: namespace.is_ok_and(|link| link != Path::new(FIRST_NAMESPACE)),
        own: seat("self"),
        first: seat("1"),
        first_mounts: mounts(&proc.join("1/mountinfo")).unwrap_or_default(),
    }))
}

fn mounts(mountinfo: &Path) -> io::Result<Vec<MountInfo>> {
    let file = File::open(mountinfo)?;
    let mounts = MountInfos::from_buf_read(BufReader::new(file)).map_err(io::Error::other)?;
    Ok(mounts.into_iter().collect())
}

pub(super) fn check(machine: &Machine, chosen: Option<&Path>) -> Finding {
    if let Some(path) = chosen {
        return check_chosen(path);
    }
    match find_cgroup_root(&machine.proc("")) {
        Ok(Some(root)) => check_found(&root),
        Ok(None) => Finding::problem(
            SUBJECT,
            "not mounted: processes on this node would not be served at the socket",
        )
        .remedy("mkdir -p /run/netproxy/cgroup && mount -t cgroup2 none /run/netproxy/cgroup"),
        Err(error) => Finding::note(SUBJECT, format!("unknown: self/mountinfo: {error}")),
    }
}

fn check_chosen(path: &Path) -> Finding {
    let shown = path.display();
    match is_mounted(path, CGROUP2_SUPER_MAGIC) {
        Ok(true) => Finding::ok(SUBJECT, format!("{shown}: it was asked for")),
        Ok(false) => Finding::problem(SUBJECT, format!("{shown} is not in a cgroup v2 hierarchy"))
            .remedy("choose a directory of a cgroup2 mount: grep cgroup2 /proc/self/mounts"),
        Err(error) => Finding::problem(SUBJECT, format!("{shown}: {error}"))
            .remedy("choose a directory of a cgroup2 mount: grep cgroup2 /proc/self/mounts"),
    }
}

fn check_found(root: &CgroupRoot) -> Finding {
    let CgroupRoot { path, reason } = root;
    let found = format!("{}: {reason}", path.display());
    if reason.is_right() {
        return Finding::ok(SUBJECT, found);
    }
    Finding::warning(SUBJECT, found).remedy(
        "mount the node's /sys/fs/cgroup into the container, at any place of its own (hostPath), or \
         name the right directory with --cgroup",
    )
}

#[cfg(test)]
mod tests;
