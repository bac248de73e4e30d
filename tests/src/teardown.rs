//! Removes a lab, going by nothing but its run directory. Safe to repeat, and to run twice at once.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
};

use crate::{
    cgroup,
    namespace::Namespace,
    run_dir::{self, ROOT},
};

/// Ends the lab's processes, then takes away its namespaces, mounts, cgroups and the directory.
///
/// # Errors
/// With everything that resisted. The record then stays, so that it can be tried again.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    let mut failures = Vec::new();
    if let Some(record) = run_dir::read(directory)? {
        // First: a process pins its namespace and, through its programs, its bpffs.
        failures.extend(cgroup::remove(&record.cgroup).err());
        failures.extend(
            record
                .places
                .iter()
                .filter_map(|place| Namespace::remove(&place.namespace).err()),
        );
    }
    failures.extend(unmount_below(directory).err());
    if !failures.is_empty() {
        let failures: Vec<_> = failures.iter().map(|error| format!("{error:#}")).collect();
        bail!("{}", failures.join("; "));
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Removes the kept lab `id`.
///
/// # Errors
/// When there is none, or its owner still runs.
pub(crate) fn remove_by_id(id: &str) -> Result<()> {
    let directory = Path::new(ROOT).join(id);
    let Some(record) = run_dir::read(&directory)? else {
        let known: Vec<_> = run_dir::list()?
            .into_iter()
            .map(|record| record.id)
            .collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        bail!("there is no lab {id} (those there are: {known})");
    };
    if run_dir::has_owner(&directory) {
        bail!(
            "the lab {id} is in use: end its owner first (process {})",
            record.owner
        );
    }
    remove(&directory)
}

fn unmount_below(directory: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    let below: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|at| at.starts_with(directory) && at != directory)
        .collect();
    for at in below.iter().rev() {
        match umount2(at, MntFlags::MNT_DETACH) {
            Ok(()) | Err(Errno::ENOENT | Errno::EINVAL) => {}
            Err(error) => bail!("{} cannot be unmounted: {error}", at.display()),
        }
    }
    Ok(())
}
