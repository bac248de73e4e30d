//! The objects, read once.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use netproxy::source::{Interest, KubernetesOptions, Source, SourceHealth};
use netproxy::store::Store;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cli::run::host_name;

/// For how long the source is asked.
const PATIENCE: Duration = Duration::from_secs(30);
/// Changes that may wait to be taken in.
const CHANGES: usize = 1024;

/// Where objects are read, and for which node.
#[derive(Debug, Args)]
pub(super) struct ObjectsArgs {
    /// Where objects come from: `kubernetes` or `manifests:DIR`, as for `netproxy run`
    #[arg(long, value_name = "SOURCE", env = "NETPROXY_SOURCE")]
    source: Option<Source>,

    /// A kubeconfig file [default: the pod's own service account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The API server's address, in place of the configured one
    #[arg(
        long = "master",
        visible_alias = "server",
        value_name = "URL",
        env = "NETPROXY_SERVER"
    )]
    server: Option<String>,

    /// The node whose view is told [default: this host's name]
    #[arg(
        long,
        visible_alias = "hostname-override",
        value_name = "NAME",
        env = "NODE_NAME"
    )]
    node_name: Option<String>,
}

impl ObjectsArgs {
    /// Everything that the source holds.
    ///
    /// # Errors
    /// The source is configured wrongly, or cannot be read within half a minute.
    pub(super) async fn read(&self) -> anyhow::Result<Store> {
        let node_name = match &self.node_name {
            Some(name) => name.trim().to_lowercase(),
            None => host_name()?,
        };
        let source = match &self.source {
            None | Some(Source::Kubernetes(_)) => Source::Kubernetes(KubernetesOptions {
                kubeconfig: self.kubeconfig.clone(),
                server: self.server.clone(),
            }),
            Some(manifests @ Source::Manifests(_)) => manifests.clone(),
        };
        let interest = Interest {
            node_name: node_name.as_str().into(),
            has_pods: false,
        };
        let (sender, mut changes) = mpsc::channel(CHANGES);
        let (reporter, health) = watch::channel(SourceHealth::Listing);
        let stop = CancellationToken::new();
        let _stopped_at_the_end = stop.clone().drop_guard();
        let running = tokio::spawn(source.run(interest, sender, reporter, stop));
        let mut store = Store::on_node(node_name);
        let listed = async {
            while !store.is_complete() {
                match changes.recv().await {
                    Some(change) => store.apply(change),
                    None => return false,
                }
            }
            true
        };
        match timeout(PATIENCE, listed).await {
            Ok(true) => Ok(store),
            Ok(false) => {
                running.await??;
                bail!("the source has ended before it told everything")
            }
            Err(_) => match &*health.borrow() {
                SourceHealth::Retrying { reason, .. } => bail!("{reason}"),
                _ => bail!(
                    "the objects have not been listed within {} seconds",
                    PATIENCE.as_secs()
                ),
            },
        }
    }
}
