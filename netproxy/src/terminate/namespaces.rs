//! Network namespaces by their cookies, as far as they can be seen from here: those of processes and
//! their threads, and those that are mounted somewhere.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};
use procfs_core::FromBufRead as _;
use procfs_core::process::MountInfos;

/// The network namespace to come back to.
pub(super) struct Home {
    file: File,
}

impl Home {
    /// The one that this thread is in.
    pub(super) fn of_this_thread() -> io::Result<Self> {
        File::open("/proc/thread-self/ns/net").map(|file| Self { file })
    }

    /// Does `work` in another namespace; the inner error: it cannot be entered, or the work not be done.
    ///
    /// # Errors
    /// This thread cannot come back, and must not go on in the wrong place.
    pub(super) fn leave_for<T>(
        &self,
        namespace: BorrowedFd<'_>,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<io::Result<T>> {
        if let Err(errno) = setns(namespace, CloneFlags::CLONE_NEWNET) {
            return Ok(Err(errno.into()));
        }
        let outcome = work();
        setns(&self.file, CloneFlags::CLONE_NEWNET)?;
        Ok(outcome)
    }

    /// Shows every namespace there is to `visit`, each once, until it is content (`false`) or fails.
    pub(super) fn tour(
        mut visit: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        let mut seen = BTreeSet::new();
        let places = processes().chain(mounts()).chain(threads());
        for place in places {
            // Processes end, and some may not be looked into: then their namespaces are not seen.
            let Ok(identity) = fs::metadata(&place).map(|file| (file.dev(), file.ino())) else {
                continue;
            };
            if !seen.insert(identity) {
                continue;
            }
            let Ok(file) = File::open(&place) else {
                continue;
            };
            if !visit(file.as_fd())? {
                break;
            }
        }
        Ok(())
    }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    numbered(Path::new("/proc")).map(|process| process.join("ns/net"))
}

/// A thread may have left its process's namespace.
fn threads() -> impl Iterator<Item = PathBuf> {
    numbered(Path::new("/proc"))
        .flat_map(|process| numbered(&process.join("task")))
        .map(|thread| thread.join("ns/net"))
}

/// Namespaces that are kept without a process (`ip netns`, a container runtime's sandboxes).
fn mounts() -> impl Iterator<Item = PathBuf> {
    let mounts = File::open("/proc/self/mountinfo")
        .ok()
        .and_then(|file| MountInfos::from_buf_read(BufReader::new(file)).ok());
    mounts
        .into_iter()
        .flatten()
        .filter(|mount| mount.fs_type == "nsfs")
        .map(|mount| mount.mount_point)
}

fn numbered(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name();
            name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
        })
        .map(|entry| entry.path())
}
