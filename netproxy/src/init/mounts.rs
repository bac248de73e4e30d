//! File systems that the agent needs, mounted where they are not.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::BPF_FS_MAGIC;

use super::Step;
use crate::check::{find_cgroup_root, is_mounted};

/// What `/etc/fstab` and systemd mount both of them with.
const FLAGS: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

/// The BPF file system.
pub(super) fn bpffs(path: &Path) -> Step {
    let subject = "bpffs";
    if is_mounted(path, BPF_FS_MAGIC) == Ok(true) {
        return Step::kept(subject, format!("mounted at {}", path.display()));
    }
    // Only for root, as systemd has it: pins are opened by their path.
    mount_at(subject, path, "bpf", "bpf", Some("mode=700"))
}

/// A cgroup v2 hierarchy, if none is mounted anywhere.
pub(super) fn cgroup(proc: &Path, path: &Path) -> Step {
    let subject = "cgroup v2";
    match find_cgroup_root(proc) {
        Ok(Some(root)) => Step::kept(subject, format!("mounted at {}", root.path.display())),
        Ok(None) => mount_at(subject, path, "none", "cgroup2", None),
        Err(error) => Step::failed(subject, format!("self/mountinfo: {error}")),
    }
}

fn mount_at(
    subject: &'static str,
    path: &Path,
    source: &str,
    kind: &str,
    data: Option<&str>,
) -> Step {
    let shown = path.display();
    if let Err(error) = fs::create_dir_all(path) {
        return Step::failed(
            subject,
            format!("{shown}: the directory cannot be made: {error}"),
        );
    }
    match mount(Some(source), path, Some(kind), FLAGS, data) {
        Ok(()) => Step::done(subject, format!("mounted at {shown}")),
        Err(errno) => Step::failed(
            subject,
            format!("{kind} cannot be mounted at {shown}: {errno} (it takes CAP_SYS_ADMIN)"),
        ),
    }
}
