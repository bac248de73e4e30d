//! `cargo xtask image`: a container image of netproxy in one file, made without a container engine.
//!
//! The image has the optimised binary, and what that needs of this machine: the dynamic loader and
//! the C library that it was linked with, and tested with. A static binary would be another one than
//! the tests ran, at the price of compiling everything twice; and the C library that it would carry
//! is the same.
//!
//! The same binary and libraries give the same bytes.

mod archive;
mod contents;
mod name;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::binaries::{self, Profile};
use crate::command::Step;
use crate::ebpf::{self, Warnings};
use crate::workspace::Workspace;
use contents::Contents;
pub(crate) use name::Name;

/// What an archive must stay below. It is about 10 MB.
const MOST_BYTES: usize = 40_000_000;

/// Builds the binary, packs it, and shows that it starts from the archive alone; yields the archive.
pub(crate) fn run(workspace: &Workspace, name: &Name) -> Result<PathBuf> {
    ebpf::build(workspace, Warnings::Shown)?;
    binaries::build(workspace, Profile::Release)?;
    pack(workspace, name)
}

/// Packs the binary that has been built.
fn pack(workspace: &Workspace, name: &Name) -> Result<PathBuf> {
    let folder = workspace.target().join("image");
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let program = folder.join("netproxy");
    strip(workspace, &program)?;
    let contents = Contents::of_program(&program, workspace.root())?;
    let bytes = archive::pack(&contents, name)?;
    if bytes.len() >= MOST_BYTES {
        bail!(
            "the image is {} bytes: below {MOST_BYTES} it can be loaded to every node at once",
            bytes.len()
        );
    }
    let file = folder.join(name.file());
    // Renamed when it has been tried, so that what is there starts.
    let untried = folder.join(format!(".{}.untried", name.file()));
    fs::write(&untried, bytes).with_context(|| format!("cannot write {}", untried.display()))?;
    trial::start(&untried)?;
    fs::rename(&untried, &file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Copies the binary without what debuggers need, four fifths of it. Names of functions stay.
fn strip(workspace: &Workspace, program: &Path) -> Result<()> {
    let mut command = Command::new("strip");
    command
        .args(["--strip-debug", "-o"])
        .arg(program)
        .arg(workspace.release_binary("netproxy"));
    Step::new("Stripping netproxy", workspace.log("image-strip")?, command).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "packs the optimised binary: cargo xtask test image"]
    fn the_image_of_the_built_binary_is_small_and_starts() -> Result<()> {
        let workspace = Workspace::locate()?;

        let file = pack(&workspace, &Name::default())?;
        let first = fs::read(&file)?;
        let again = fs::read(pack(&workspace, &Name::default())?)?;

        assert!(first == again, "two archives of one binary differ");
        Ok(())
    }
}
