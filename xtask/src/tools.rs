//! `cargo xtask tools`: builds the real control-plane components that the tests run against.
//!
//! Each component is built from its Go module with the dependencies of its own release, pinned by
//! `go.mod` and `go.sum` under `tests/control-plane/`. What is built already by the same recipe is
//! left alone. Prometheus comes from Debian's package, what its operator defines from the operator's module.

mod component;
mod definitions;
mod go;
pub(crate) mod packaged;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::Step;
use crate::stamp::Stamp;
use crate::workspace::Workspace;
use component::{COMPONENTS, Component, Release};
use go::Go;

/// Builds the components that are missing or were made by another recipe.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let mut go = None;
    for component in COMPONENTS {
        let sources = workspace
            .root()
            .join("tests/control-plane")
            .join(component.folder);
        let go_mod = read(&sources.join("go.mod"))?;
        let release = component.release(&go_mod)?;
        let recipe = component.recipe(&release, &files(&sources)?);
        let tools = workspace.control_plane_tools();
        let stamp = Stamp::new(tools.join("stamp").join(component.folder), recipe);
        let bin = tools.join("bin");
        if stamp.is_fresh(
            component
                .programs
                .iter()
                .map(|program| bin.join(program.name)),
        ) {
            continue;
        }
        let go = match &go {
            Some(go) => go,
            None => go.insert(Go::provide(workspace)?),
        };
        fs::create_dir_all(&bin)
            .with_context(|| format!("cannot make the folder {}", bin.display()))?;
        compile(workspace, go, component, &release, &sources, &bin)?;
        stamp.write()?;
    }
    definitions::install(workspace, &mut go)?;
    packaged::install(workspace, &packaged::PROMETHEUS)
}

fn compile(
    workspace: &Workspace,
    go: &Go,
    component: &Component,
    release: &Release,
    sources: &Path,
    bin: &Path,
) -> Result<()> {
    for program in component.programs {
        // Renamed when complete, so that an interrupted build leaves no half of a program.
        let unfinished = bin.join(format!(".{}.unfinished", program.name));
        let mut command = go.command();
        command
            .current_dir(sources)
            // -v names the packages as they are compiled, for the progress line.
            .args(["build", "-v"])
            .args(component.flags(release))
            .arg("-o")
            .arg(&unfinished)
            .arg(program.package);
        Step::new(
            format!("Building {} {}", program.name, release.version()),
            workspace.log(&format!("tools-{}", program.name))?,
            command,
        )
        .run()?;
        let finished = bin.join(program.name);
        fs::rename(&unfinished, &finished)
            .with_context(|| format!("cannot write {}", finished.display()))?;
    }
    Ok(())
}

/// What the files of a folder hold, in the order of their names.
fn files(folder: &Path) -> Result<Vec<String>> {
    let listed =
        fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<_> =
        listed.with_context(|| format!("cannot list the folder {}", folder.display()))?;
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
