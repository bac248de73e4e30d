//! `cargo xtask build`: netproxy and the binaries of the lab, for this machine.

use anyhow::Result;

use crate::command::Step;
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
