//! The Rust toolchains: the one that called `cargo xtask`, and the one that compiles for eBPF.
//!
//! The second is a rustup nightly with the component rust-src, else the distribution's own compiler
//! with its sources, told to accept unstable options. The environment that `cargo run` gives its
//! children, and what of a user's steers cargo elsewhere (`CARGO_TARGET_DIR`, `RUSTFLAGS`), is taken
//! away from both: the first would mix the toolchains, the second hide where the results lie.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::command::ask;
use crate::llvm;
use crate::workspace::Workspace;

/// Where a distribution puts its compiler.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";
const SYSTEM_CARGO: &str = "/usr/bin/cargo";

/// A toolchain that can compile `core` for eBPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BpfToolchain {
    /// rustup's `nightly`
    Nightly,
    /// The distribution's packages
    System,
}

impl BpfToolchain {
    /// The toolchain of this machine that has the sources of `core` and the right LLVM.
    pub(crate) fn find() -> Option<Self> {
        [Self::Nightly, Self::System]
            .into_iter()
            .find(|toolchain| toolchain.is_usable())
    }

    /// This toolchain's cargo, with nothing of the calling toolchain in its environment.
    pub(crate) fn cargo(self) -> Command {
        match self {
            Self::Nightly => rustup("cargo"),
            Self::System => {
                let mut command = Command::new(SYSTEM_CARGO);
                isolate(&mut command);
                command
                    .env("RUSTC", SYSTEM_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1");
                command
            }
        }
    }

    fn rustc(self) -> Command {
        match self {
            Self::Nightly => rustup("rustc"),
            Self::System => {
                let mut command = Command::new(SYSTEM_RUSTC);
                isolate(&mut command);
                command
            }
        }
    }

    fn is_usable(self) -> bool {
        let has_cargo = self == Self::Nightly || Path::new(SYSTEM_CARGO).is_file();
        let llvm = ask(self.rustc().arg("-vV")).and_then(|text| llvm_major(&text));
        let sources = ask(self.rustc().args(["--print", "sysroot"])).is_some_and(|sysroot| {
            Path::new(&sysroot)
                .join("lib/rustlib/src/rust/library/core/src/lib.rs")
                .is_file()
        });
        has_cargo && sources && llvm == Some(llvm::MAJOR)
    }
}

/// The cargo that called `cargo xtask`, for the work tree's own target directory.
pub(crate) fn host_cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        command.env_remove(name);
    }
    command.current_dir(workspace.root());
    command
}

fn rustup(tool: &str) -> Command {
    let mut command = Command::new("rustup");
    isolate(&mut command);
    // Nothing is downloaded behind the user's back: a missing toolchain is an answer.
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command.args(["run", "nightly", tool]);
    command
}

fn isolate(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_toolchain_variable) {
            command.env_remove(name);
        }
    }
}

/// Variables that belong to one toolchain or one build. Those that tell cargo where its home is and
/// how to reach its registry (`CARGO_HOME`, `CARGO_HTTP_…`, `CARGO_NET_…`) belong to the machine.
fn is_toolchain_variable(name: &str) -> bool {
    const NAMES: [&str; 6] = [
        "CARGO",
        "LD_LIBRARY_PATH",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUST_RECURSION_COUNT",
        "RUSTC_BOOTSTRAP",
    ];
    const PREFIXES: [&str; 9] = [
        "RUSTC",
        "RUSTDOC",
        "CARGO_BIN_",
        "CARGO_BUILD_",
        "CARGO_ENCODED_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The major release of the LLVM inside the compiler that printed this version text.
fn llvm_major(version: &str) -> Option<u32> {
    version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version:"))
        .and_then(llvm::major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_tells_which_llvm_is_inside() {
        let version = "rustc 1.96.0 (ac68faa20 2026-05-25)\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8\n";

        assert_eq!(llvm_major(version), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0"), None);
    }

    #[test]
    fn what_belongs_to_the_calling_toolchain_does_not_reach_the_other() {
        for name in [
            "CARGO",
            "RUSTC",
            "RUSTUP_TOOLCHAIN",
            "CARGO_PKG_NAME",
            "LD_LIBRARY_PATH",
        ] {
            assert!(is_toolchain_variable(name), "{name}");
        }
    }

    #[test]
    fn what_belongs_to_the_machine_does() {
        for name in [
            "CARGO_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_NET_OFFLINE",
            "RUSTUP_HOME",
            "PATH",
        ] {
            assert!(!is_toolchain_variable(name), "{name}");
        }
    }
}
