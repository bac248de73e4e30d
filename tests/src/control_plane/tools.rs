//! The programs that `cargo xtask tools` builds.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

/// Names a directory with other ones.
const VARIABLE: &str = "NETPROXY_TOOLS";
/// Where they are in the workspace.
const BUILT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/tools/control-plane/bin"
);

/// The directory they are in.
#[derive(Debug)]
pub(super) struct Tools {
    directory: PathBuf,
}

impl Tools {
    pub(super) fn find() -> Result<Self> {
        let directory = env::var_os(VARIABLE).map_or_else(|| BUILT.into(), PathBuf::from);
        ensure!(
            directory.is_dir(),
            "the control plane's programs are not in {}: build them with `cargo xtask tools`, or \
             set {VARIABLE} to the directory that has them",
            directory.display()
        );
        Ok(Self { directory })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is beside the programs' directory.
    pub(super) fn definitions(&self) -> Result<PathBuf> {
        let definitions = self.directory.with_file_name("definitions");
        ensure!(
            definitions.is_dir(),
            "{} is not there: `cargo xtask tools` fetches it",
            definitions.display()
        );
        Ok(definitions)
    }

    pub(super) fn path(&self, program: &str) -> Result<PathBuf> {
        let path = self.directory.join(program);
        ensure!(
            path.is_file(),
            "{program} is not in {}: build it with `cargo xtask tools`",
            self.directory.display()
        );
        Ok(path)
    }
}
