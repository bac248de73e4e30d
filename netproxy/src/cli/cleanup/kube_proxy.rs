//! `netproxy cleanup --kube-proxy`: nothing of a kube-proxy stays on this node.

use clap::Args;
use netproxy::netfilter::Leftovers;

use crate::cli::table::Listing;

/// Whether its rules are meant.
#[derive(Debug, Args)]
pub(super) struct KubeProxyArgs {
    /// Remove the rules that kube-proxy has left, and nothing else
    #[arg(long, conflicts_with = "drain")]
    kube_proxy: bool,
    /// Only tell what of kube-proxy would be removed
    #[arg(long, requires = "kube_proxy")]
    dry_run: bool,
    /// Remove kube-proxy's rules although it runs
    #[arg(long, requires = "kube_proxy")]
    force: bool,
}

impl KubeProxyArgs {
    /// Whether they are.
    pub(super) const fn are_meant(&self) -> bool {
        self.kube_proxy
    }

    /// Removes what kube-proxy has left.
    pub(super) fn run(&self, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let leftovers = Leftovers::find(self.force || self.dry_run)?;
        let names = leftovers.names();
        let verb = if self.dry_run {
            "would be removed"
        } else {
            "removed"
        };
        let going_on = if self.dry_run { 0 } else { leftovers.remove()? };
        for name in &names {
            list.line(&format!("{verb}: {name}"))?;
        }
        if names.is_empty() {
            list.line("nothing to remove: kube-proxy has left no rules")?;
        }
        if let Some(left) = leftovers.left() {
            list.line(&left)?;
        }
        if going_on > 0 {
            list.line(&format!(
                "{going_on} connections that netfilter translates go on; run this again when they have ended"
            ))?;
        }
        Ok(())
    }
}
