//! Prometheus and promtool, which the tests of the alerts and the dashboard run: the machine's, else
//! unpacked from Debian's package. It is not installed: that would start a server, now and at every boot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::Step;
use crate::need;
use crate::setup;
use crate::workspace::Workspace;

const PACKAGE: &str = "prometheus";
const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

/// Puts both beside the components, unless they are there.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    let bin = workspace.control_plane_tools().join("bin");
    let is_there = |program| bin.join(program).is_file();
    if PROGRAMS.into_iter().all(is_there) {
        return Ok(());
    }
    fs::create_dir_all(&bin)
        .with_context(|| format!("cannot make the folder {}", bin.display()))?;
    if let Ok(found) = PROGRAMS
        .into_iter()
        .map(which::which)
        .collect::<Result<Vec<_>, _>>()
    {
        for (program, path) in PROGRAMS.into_iter().zip(found) {
            place(&bin.join(program), |unfinished| symlink(path, unfinished))?;
        }
        return Ok(());
    }
    setup::find_packages(workspace, need::PROMETHEUS)?;
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    unpack(workspace, folder.path())?;
    for program in PROGRAMS {
        let unpacked = folder.path().join("usr/bin").join(program);
        place(&bin.join(program), |unfinished| {
            fs::copy(unpacked, unfinished).map(drop)
        })?;
    }
    Ok(())
}

/// Fetches the package, and unpacks it below `folder`.
fn unpack(workspace: &Workspace, folder: &Path) -> Result<()> {
    let mut fetch = Command::new("apt-get");
    fetch.args(["download", PACKAGE]).current_dir(folder);
    Step::new(
        format!("Fetching {PACKAGE}"),
        workspace.log("prometheus-fetch")?,
        fetch,
    )
    .run()?;
    let mut unpack = Command::new("sh");
    unpack
        .args(["-c", "dpkg-deb --extract ./*.deb ."])
        .current_dir(folder);
    Step::new(
        format!("Unpacking {PACKAGE}"),
        workspace.log("prometheus-unpack")?,
        unpack,
    )
    .run()
}

/// Renamed when complete, so that an interruption leaves no half of a program.
fn place(finished: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let unfinished = finished.with_extension("unfinished");
    // What an interruption left.
    let _ = fs::remove_file(&unfinished);
    make(&unfinished)
        .and_then(|()| fs::rename(&unfinished, finished))
        .with_context(|| format!("cannot write {}", finished.display()))
}
