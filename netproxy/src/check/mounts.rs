//! File systems that must be mounted.

use std::path::Path;

use nix::sys::statfs::{BPF_FS_MAGIC, FsType, statfs};

use super::Finding;

/// Whether the file system at `path` is of type `kind`.
pub(crate) fn is_mounted(path: &Path, kind: FsType) -> nix::Result<bool> {
    Ok(statfs(path)?.filesystem_type() == kind)
}

pub(super) fn bpffs(path: &Path) -> Finding {
    let subject = "bpffs";
    let shown = path.display();
    let remedy = format!("mkdir -p {shown} && mount -t bpf bpf {shown}");
    match is_mounted(path, BPF_FS_MAGIC) {
        Ok(true) => Finding::ok(subject, format!("mounted at {shown}")),
        Ok(false) => Finding::problem(
            subject,
            format!("not mounted at {shown}: nothing would outlive the agent"),
        )
        .remedy(remedy),
        Err(error) => Finding::problem(subject, format!("{shown}: {error}")).remedy(remedy),
    }
}
