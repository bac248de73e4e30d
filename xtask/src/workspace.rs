//! Where things lie in the work tree. Everything made by `cargo xtask` is under `target/`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result};

/// The work tree that this `xtask` was compiled in.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The folder above xtask's own.
    pub(crate) fn locate() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask's folder has no parent: it must lie in the workspace's root")?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target directory; `CARGO_TARGET_DIR` is not honoured (see `toolchain`).
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Installation root of what `cargo install` brings: the commands are in `bin/` below it.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target().join("tools")
    }

    /// Root of the pinned control-plane components: `bin/` and `stamp/` are below it.
    pub(crate) fn control_plane_tools(&self) -> PathBuf {
        self.tools().join("control-plane")
    }

    /// The file that netproxy's build script embeds.
    pub(crate) fn ebpf_object(&self) -> PathBuf {
        self.target().join("ebpf/netproxy-ebpf")
    }

    /// The optimised binary `name`, as `cargo build --release` leaves it.
    pub(crate) fn release_binary(&self, name: &str) -> PathBuf {
        self.target().join("release").join(name)
    }

    /// The log of the step `name`; its folder is made.
    pub(crate) fn log(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target().join("log");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the log folder {}", folder.display()))?;
        Ok(folder.join(format!("{name}.log")))
    }

    /// The search path of commands with the workspace's own tools first.
    pub(crate) fn search_path(&self) -> Result<std::ffi::OsString> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [self.tools().join("bin")]
            .into_iter()
            .chain(env::split_paths(&path));
        env::join_paths(folders).context("a folder of PATH contains a colon")
    }
}
