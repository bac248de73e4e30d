//! Finds the programs that are built beside the one that runs.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The path of `name`: what the environment says (`NETPROXY_TRAFFIC_BIN` for `netproxy-traffic`),
/// else the file of that name beside the running program or, for tests and examples, one up.
///
/// # Errors
/// When there is none, with the command that builds it.
pub fn find(name: &str) -> Result<PathBuf> {
    let variable = format!("{}_BIN", name.to_uppercase().replace('-', "_"));
    if let Some(path) = env::var_os(&variable) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("{variable} is {}, which is not a file", path.display());
        }
        return Ok(path);
    }
    let running = env::current_exe().context("the running program's path")?;
    running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            let beside = running.parent().unwrap_or(Path::new("/"));
            let command = match name {
                "netproxy" => "cargo build -p netproxy --bin netproxy".to_owned(),
                "netproxy-other-layout" => "cargo xtask build --other-layout".to_owned(),
                _ => format!("cargo build -p netproxy-tests --bin {name}"),
            };
            format!(
                "{name} is not beside {}: build it ({command}), or set {variable}",
                beside.display()
            )
        })
}
