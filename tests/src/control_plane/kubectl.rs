//! kubectl, as the cluster's administrator uses it.

use std::{fs, sync::atomic::Ordering};

use anyhow::{Context, Result};

use super::ControlPlane;
use crate::place::run;

impl ControlPlane<'_> {
    /// Runs kubectl as administrator and answers with its standard output.
    ///
    /// # Errors
    /// When it fails, with what it wrote to standard error.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        let path = self.tools.path("kubectl")?;
        let mut command = self.lab.fabric().command(path.as_os_str())?;
        command
            .args(words)
            .env("KUBECONFIG", self.admin_kubeconfig())
            // Its cache, and nobody's own settings.
            .env("HOME", &self.directory)
            .env("KUBERC", "off");
        run("control-plane", command)
    }

    /// What to type, before kubectl's own words, to run it from outside of the lab.
    #[must_use]
    pub fn kubectl_command(&self) -> String {
        format!(
            "nsenter --net={} {} --kubeconfig {}",
            self.lab.fabric().namespace().path().display(),
            self.tools.directory().join("kubectl").display(),
            self.admin_kubeconfig().display()
        )
    }

    /// Creates objects, or makes them what `manifest` (YAML) says.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        self.hand_over(&["apply", "--server-side", "--force-conflicts"], manifest)
    }

    /// Makes the status of objects that exist what `manifest` says. Its merging is of no use for
    /// the addresses of a Node: there may be two of one type.
    pub(super) fn replace_status(&self, manifest: &str) -> Result<()> {
        self.hand_over(&["replace", "--subresource=status"], manifest)
    }

    /// Deletes an object of the namespace `default`, and waits until it is gone.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete(&self, kind: &str, name: &str) -> Result<()> {
        self.kubectl(&["delete", kind, name, "--now"]).map(drop)
    }

    fn hand_over(&self, words: &[&str], manifest: &str) -> Result<()> {
        let number = self.manifests.fetch_add(1, Ordering::Relaxed);
        // Kept until the lab ends, for those who look into a failure.
        let path = self.directory.join(format!("{number:03}.yaml"));
        fs::write(&path, manifest)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let path = path.to_string_lossy();
        let words = [words, &["--filename", &path]].concat();
        self.kubectl(&words)
            .map(drop)
            .with_context(|| format!("of this manifest:\n{manifest}"))
    }
}
