//! `cargo xtask build`: netproxy and the binaries of the lab, for this machine.

use std::fs;

use anyhow::{Context as _, Result};

use crate::command::Step;
use crate::ebpf::{self, Layout, OTHER_LAYOUT, Warnings};
use crate::toolchain::host_cargo;
use crate::workspace::Workspace;

/// How the binaries are optimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// cargo's `dev`, to `target/debug`
    Dev,
    /// cargo's `release`, to `target/release`
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds `netproxy-other-layout`, whose maps are laid out otherwise than netproxy's, for tests of upgrades. It is
/// called netproxy while it is built: [`build`] comes after it.
pub(crate) fn build_other_layout(workspace: &Workspace, profile: Profile) -> Result<()> {
    ebpf::build_with(workspace, Warnings::Shown, Layout::Other)?;
    let mut command = host_cargo(workspace);
    command.args(["build", "--bin", "netproxy"]);
    // With the lab, or what both depend on is built once more with other features.
    command.args(["--package", "netproxy", "--package", "netproxy-tests"]);
    command.arg(format!("--features=netproxy/{OTHER_LAYOUT}"));
    if profile == Profile::Release {
        command.arg("--release");
    }
    Step::new(
        "Building netproxy (other layouts)",
        workspace.log("build-other-layout")?,
        command,
    )
    .run()?;
    let folder = workspace.target().join(profile.folder());
    let kept = folder.join(format!("netproxy-{OTHER_LAYOUT}"));
    let unfinished = kept.with_extension("unfinished");
    fs::copy(folder.join("netproxy"), &unfinished)
        .and_then(|_| fs::rename(&unfinished, &kept))
        .with_context(|| format!("cannot write {}", kept.display()))
}

/// Builds netproxy and the lab's binaries; the eBPF programs must be built already.
pub(crate) fn build(workspace: &Workspace, profile: Profile) -> Result<()> {
    let mut command = host_cargo(workspace);
    command.args(["build", "--bins", "--package", "netproxy"]);
    command.args(["--package", "netproxy-tests"]);
    let kind = match profile {
        Profile::Dev => "development",
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    Step::new(
        format!("Building netproxy and the lab ({kind})"),
        workspace.log("build")?,
        command,
    )
    .run()
}
