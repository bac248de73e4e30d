//! What `deploy/kind/up` goes by, as far as that can be known without containers.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use netproxy_lab::control_plane::kind_config;
use tempfile::TempDir;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kind");

#[test]
fn kind_takes_the_configuration_of_the_cluster() -> Result<()> {
    let read = kind_config(&Path::new(FOLDER).join("cluster.yaml"))?;

    ensure!(read == "netproxy: 3 nodes, kubeProxyMode none\n", "{read}");
    Ok(())
}

#[test]
fn kind_refuses_a_configuration_with_a_field_that_it_does_not_know() -> Result<()> {
    let text = fs::read_to_string(Path::new(FOLDER).join("cluster.yaml"))?;
    let directory = TempDir::new()?;
    let wrong = directory.path().join("cluster.yaml");
    fs::write(&wrong, text.replace("kubeProxyMode", "kubeProxyMod"))?;

    let refusal = kind_config(&wrong)
        .map(drop)
        .map_err(|it| format!("{it:#}"));

    ensure!(
        refusal
            .as_ref()
            .is_err_and(|it| it.contains("kubeProxyMod")),
        "{refusal:?}"
    );
    Ok(())
}

#[test]
fn shellcheck_finds_nothing_in_the_scripts() -> Result<()> {
    let scripts = [
        Path::new(FOLDER).join("up"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/run"),
    ];

    let output = Command::new("shellcheck")
        .args(&scripts)
        .output()
        .context("shellcheck: cargo xtask setup")?;

    let found = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{found}");
    Ok(())
}
