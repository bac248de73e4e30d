//! The definitions of the Prometheus Operator's resources, from its Go module.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::go::Go;
use super::read;
use crate::command::{Step, ask};
use crate::stamp::Stamp;
use crate::workspace::Workspace;

const FOLDER: &str = "prometheus-operator";
const MODULE: &str = "github.com/prometheus-operator/prometheus-operator";
/// Where the module has them.
const INSIDE: &str = "example/prometheus-operator-crd";
/// Those of the resources that the chart renders.
const FILES: [&str; 2] = [
    "monitoring.coreos.com_prometheusrules.yaml",
    "monitoring.coreos.com_servicemonitors.yaml",
];

/// Puts them below `definitions/`, beside `bin/`, unless they are there.
pub(super) fn install(workspace: &Workspace, go: &mut Option<Go>) -> Result<()> {
    let pinned = workspace.root().join("tests/control-plane").join(FOLDER);
    let recipe = read(&pinned.join("go.mod"))? + &read(&pinned.join("go.sum"))?;
    let tools = workspace.control_plane_tools();
    let stamp = Stamp::new(tools.join("stamp").join(FOLDER), recipe);
    let definitions = tools.join("definitions");
    if stamp.is_fresh(FILES.map(|file| definitions.join(file))) {
        return Ok(());
    }
    let go = match go {
        Some(go) => go,
        None => go.insert(Go::provide(workspace)?),
    };
    let mut fetch = go.command();
    fetch.args(["mod", "download", MODULE]).current_dir(&pinned);
    Step::new(
        format!("Fetching {FOLDER}"),
        workspace.log("tools-prometheus-operator")?,
        fetch,
    )
    .run()?;
    let mut find = go.command();
    find.args(["list", "-m", "-f", "{{.Dir}}", MODULE]);
    let module = ask(find.current_dir(&pinned))
        .with_context(|| format!("Go does not say where {MODULE} is"))?;
    fs::create_dir_all(&definitions)
        .with_context(|| format!("cannot make the folder {}", definitions.display()))?;
    for file in FILES {
        let text = read(&Path::new(&module).join(INSIDE).join(file))?;
        let copy = definitions.join(file);
        fs::write(&copy, text).with_context(|| format!("cannot write {}", copy.display()))?;
    }
    stamp.write()
}
