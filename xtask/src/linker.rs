//! bpf-linker, which turns the compiler's bitcode into an eBPF object with BTF.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{Step, ask};
use crate::llvm;
use crate::toolchain::host_cargo;
use crate::workspace::Workspace;

const VERSION: &str = "0.13.0";

/// Builds the pinned bpf-linker under `target/tools` unless it is there and runs.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    if is_installed(workspace) {
        return Ok(());
    }
    let prefix = llvm::prefix().with_context(|| {
        format!(
            "LLVM {} with its headers is not there; `cargo xtask setup` installs it",
            llvm::MAJOR
        )
    })?;
    let mut command = host_cargo(workspace);
    command
        .env("LLVM_PREFIX", prefix)
        .args(["install", "bpf-linker", "--version", VERSION, "--locked"])
        .args(["--force", "--no-default-features", "--features"])
        .arg(format!("llvm-{}", llvm::MAJOR))
        .arg("--root")
        .arg(workspace.tools());
    Step::new(
        format!("Building bpf-linker {VERSION}"),
        workspace.log("bpf-linker")?,
        command,
    )
    .run()?;
    if !is_installed(workspace) {
        bail!(
            "{}/bin/bpf-linker was built but does not run as version {VERSION}; run it with \
             --version to see why",
            workspace.tools().display()
        );
    }
    Ok(())
}

fn is_installed(workspace: &Workspace) -> bool {
    ask(Command::new(workspace.tools().join("bin/bpf-linker")).arg("--version"))
        .is_some_and(|text| text.split_whitespace().any(|word| word == VERSION))
}
