//! `cargo xtask build-ebpf`: compiles the programs for the eBPF target and puts the object where
//! netproxy's build script looks for it.

use std::env::consts::ARCH;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::Step;
use crate::setup;
use crate::toolchain::BpfToolchain;
use crate::workspace::Workspace;

const TARGET: &str = "bpfel-unknown-none";
const PACKAGE: &str = "netproxy-ebpf";
/// Programs of others, which the tests put beside ours.
const FOREIGN: &str = "foreign";

/// The feature of a build whose maps are laid out otherwise (`other_layout.rs` of netproxy-common).
pub(crate) const OTHER_LAYOUT: &str = "other-layout";

/// What the compiler's warnings about the programs mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warnings {
    /// They are in the log.
    Shown,
    /// They fail the build.
    Denied,
}

impl Warnings {
    pub(crate) fn denied_if(denied: bool) -> Self {
        if denied { Self::Denied } else { Self::Shown }
    }
}

/// Which maps the programs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Users'.
    Own,
    /// Others, for tests of upgrades.
    Other,
}

/// Builds the programs, after setting up what that needs.
pub(crate) fn build(workspace: &Workspace, warnings: Warnings) -> Result<()> {
    setup::run(workspace)?;
    build_with(workspace, warnings, Layout::Own)
}

/// As [`build`], once everything is set up.
pub(crate) fn build_with(workspace: &Workspace, warnings: Warnings, layout: Layout) -> Result<()> {
    let toolchain = BpfToolchain::find()
        .context("the Rust compiler for eBPF has vanished since it was set up")?;
    let target_dir = workspace.target().join("ebpf-build");
    let mut command = toolchain.cargo();
    command
        .current_dir(workspace.root())
        .env("PATH", workspace.search_path()?)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags())
        .args(["build", "--release", "--package", PACKAGE])
        .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(&target_dir);
    if warnings == Warnings::Denied {
        // Unlike a compiler flag, this leaves what is built already as it is.
        command.args(["-Z", "warnings", "--config", "build.warnings='deny'"]);
    }
    let built = target_dir.join(TARGET).join("release");
    let kept = workspace.ebpf_object();
    if layout == Layout::Other {
        command.args(["--bin", PACKAGE, "--features", OTHER_LAYOUT]);
        Step::new(
            "Building the eBPF programs (other layouts)",
            workspace.log("build-ebpf-other-layout")?,
            command,
        )
        .run()?;
        let kept = kept.with_file_name(format!("{PACKAGE}-{OTHER_LAYOUT}"));
        return replace_if_different(&built.join(PACKAGE), &kept);
    }
    Step::new(
        "Building the eBPF programs",
        workspace.log("build-ebpf")?,
        command,
    )
    .run()?;
    replace_if_different(&built.join(FOREIGN), &kept.with_file_name(FOREIGN))?;
    replace_if_different(&built.join(PACKAGE), &kept)
}

/// Cargo's own separator of flags, so that none needs quoting.
fn rustflags() -> String {
    [
        // The registers of a probed function differ between machines; aya-ebpf asks for this.
        &format!("--cfg=bpf_target_arch=\"{ARCH}\""),
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        // Instruction set v3 (32-bit registers and jumps), which every supported kernel has.
        "-Ctarget-cpu=v3",
        // 32-bit registers, as v3 implies for C.
        "-Clink-arg=--cpu-features=+alu32",
        // Copies and fills as instructions, not as calls that the verifier walks byte by byte.
        "-Clink-arg=--disable-expand-memcpy-in-order",
    ]
    .join("\x1f")
}

/// Copies `built` to `kept`, unless the bytes are the same: a new time stamp alone would have
/// netproxy built again.
fn replace_if_different(built: &Path, kept: &Path) -> Result<()> {
    let bytes =
        fs::read(built).with_context(|| format!("cargo left no object at {}", built.display()))?;
    if fs::read(kept).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = kept.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    // Written beside and renamed, so that a build running now reads the old object or the new one.
    let unfinished = kept.with_extension("unfinished");
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, kept))
        .with_context(|| format!("cannot write the object {}", kept.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_object_keeps_its_time_stamp() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (built, kept) = (folder.path().join("built"), folder.path().join("new/kept"));
        fs::write(&built, "programs")?;
        replace_if_different(&built, &kept)?;
        let before = fs::metadata(&kept)?.modified()?;

        replace_if_different(&built, &kept)?;

        assert_eq!(fs::metadata(&kept)?.modified()?, before);
        Ok(())
    }

    #[test]
    fn a_changed_object_replaces_the_old_one() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (built, kept) = (folder.path().join("built"), folder.path().join("kept"));
        fs::write(&kept, "old programs")?;
        fs::write(&built, "new programs")?;

        replace_if_different(&built, &kept)?;

        assert_eq!(fs::read_to_string(&kept)?, "new programs");
        Ok(())
    }
}
