//! helm, as it was built with the control plane.

use std::process::Command;

use anyhow::Result;

use super::{ControlPlane, tools::Tools};
use crate::place::run;

impl ControlPlane<'_> {
    /// Runs helm as administrator and answers with its standard output.
    ///
    /// # Errors
    /// When it fails, with what it wrote to standard error.
    pub fn helm(&self, words: &[&str]) -> Result<String> {
        let path = self.tools.path("helm")?;
        let mut command = self.lab.fabric().command(path.as_os_str())?;
        command
            .args(words)
            .env("KUBECONFIG", self.admin_kubeconfig())
            .env("HOME", &self.directory);
        run("control-plane", command)
    }
}

/// Runs helm without a cluster, and answers with its standard output.
///
/// # Errors
/// When it fails, with what it wrote to standard error.
pub fn helm(words: &[&str]) -> Result<String> {
    let mut command = Command::new(Tools::find()?.path("helm")?);
    command
        .args(words)
        .env_remove("KUBECONFIG")
        // Nobody's own settings.
        .env("HOME", "/nonexistent");
    run("helm", command)
}
