//! The cgroup whose processes the socket hooks serve.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use nix::sys::statfs::CGROUP2_SUPER_MAGIC;
use procfs_core::FromBufRead as _;
use procfs_core::process::{MountInfo, MountInfos};

use super::Finding;
use super::machine::Machine;
use super::mounts::is_mounted;

const SUBJECT: &str = "cgroup v2";

/// Where distributions mount it; the hybrid layout's place comes second.
const USUAL: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The kernel's number for the first cgroup namespace (`PROC_CGROUP_INIT_INO`).
const FIRST_NAMESPACE: &str = "cgroup:[4026531835]";

/// Where the cgroup v2 hierarchy is mounted, according to `mountinfo` below `proc`; `None`:
/// nowhere.
pub fn find_cgroup2(proc: &Path) -> io::Result<Option<PathBuf>> {
    Ok(find_mount(proc)?.map(|mount| mount.mount_point))
}

fn find_mount(proc: &Path) -> io::Result<Option<MountInfo>> {
    let file = File::open(proc.join("self/mountinfo"))?;
    let mounts = MountInfos::from_buf_read(BufReader::new(file)).map_err(io::Error::other)?;
    let rank = |mount: &MountInfo| {
        USUAL
            .iter()
            .position(|usual| mount.mount_point == Path::new(usual))
            .unwrap_or(USUAL.len())
    };
    Ok(mounts
        .into_iter()
        .filter(|mount| mount.fs_type == "cgroup2")
        .min_by_key(rank))
}

pub(super) fn check(machine: &Machine, chosen: Option<&Path>) -> Finding {
    if let Some(path) = chosen {
        return check_chosen(path);
    }
    match find_mount(&machine.proc("")) {
        Ok(Some(mount)) => check_found(machine, &mount),
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
        Ok(true) => Finding::ok(SUBJECT, shown.to_string()),
        Ok(false) => Finding::problem(SUBJECT, format!("{shown} is not in a cgroup v2 hierarchy"))
            .remedy("choose a directory of a cgroup2 mount: grep cgroup2 /proc/self/mounts"),
        Err(error) => Finding::problem(SUBJECT, format!("{shown}: {error}"))
            .remedy("choose a directory of a cgroup2 mount: grep cgroup2 /proc/self/mounts"),
    }
}

/// A mount made inside a private cgroup namespace shows that namespace's part of the hierarchy as
/// if it were the whole; one that was handed in from outside does not start at "/".
fn check_found(machine: &Machine, mount: &MountInfo) -> Finding {
    let shown = mount.mount_point.display();
    let namespace = fs::read_link(machine.proc("self/ns/cgroup"));
    let is_private = namespace.is_ok_and(|link| link != Path::new(FIRST_NAMESPACE));
    if is_private && mount.root == "/" {
        return Finding::warning(
            SUBJECT,
            format!(
                "{shown} belongs to a private cgroup namespace: if that is the agent's own \
                 container, and not the whole node, no other process is served at the socket"
            ),
        )
        .remedy("mount the host's /sys/fs/cgroup into the container (hostPath)");
    }
    Finding::ok(SUBJECT, format!("mounted at {shown}"))
}
