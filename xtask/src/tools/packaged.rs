//! Servers that are run by hand: the machine's, else unpacked from Debian's packages. These are not installed: that would
//! start a server, now and at every boot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::Step;
use crate::need::{self, Need};
use crate::setup;
use crate::workspace::Workspace;

/// Which programs of a package are wanted.
#[derive(Debug)]
pub(crate) struct Packaged {
    package: &'static str,
    /// Where the package has them.
    folder: &'static str,
    programs: &'static [&'static str],
    needs: &'static [Need],
}

/// Runs the alerts and the dashboard in tests.
pub(crate) const PROMETHEUS: Packaged = Packaged {
    package: "prometheus",
    folder: "usr/bin",
    programs: &["prometheus", "promtool"],
    needs: need::PROMETHEUS,
};

/// Answers in the benchmark.
pub(crate) const NGINX: Packaged = Packaged {
    package: "nginx",
    folder: "usr/sbin",
    programs: &["nginx"],
    needs: need::NGINX,
};

/// Puts them beside the components, unless they are there.
pub(crate) fn install(workspace: &Workspace, wanted: &Packaged) -> Result<()> {
    let bin = workspace.control_plane_tools().join("bin");
    let is_there = |program: &&str| bin.join(program).is_file();
    if wanted.programs.iter().all(is_there) {
        return Ok(());
    }
    fs::create_dir_all(&bin)
        .with_context(|| format!("cannot make the folder {}", bin.display()))?;
    if let Ok(found) = wanted
        .programs
        .iter()
        .map(which::which)
        .collect::<Result<Vec<_>, _>>()
    {
        for (program, path) in wanted.programs.iter().zip(found) {
            place(&bin.join(program), |unfinished| symlink(path, unfinished))?;
        }
        return Ok(());
    }
    setup::find_packages(workspace, wanted.needs)?;
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    unpack(workspace, wanted.package, folder.path())?;
    for program in wanted.programs {
        let unpacked = folder.path().join(wanted.folder).join(program);
        place(&bin.join(program), |unfinished| {
            fs::copy(unpacked, unfinished).map(drop)
        })?;
    }
    Ok(())
}

/// Fetches the package, and unpacks it below `folder`.
fn unpack(workspace: &Workspace, package: &str, folder: &Path) -> Result<()> {
    let mut fetch = Command::new("apt-get");
    fetch.args(["download", package]).current_dir(folder);
    Step::new(
        format!("Fetching {package}"),
        workspace.log(&format!("{package}-fetch"))?,
        fetch,
    )
    .run()?;
    let mut unpack = Command::new("sh");
    unpack
        .args(["-c", "dpkg-deb --extract ./*.deb ."])
        .current_dir(folder);
    Step::new(
        format!("Unpacking {package}"),
        workspace.log(&format!("{package}-unpack"))?,
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
