//! A Kubernetes API server as the source.
//!
//! One task per kind: Services, EndpointSlices, this node's own Node, and ServiceCIDRs, which not
//! every server has. Each follows its kind with a watch of its own (HTTP/1.1: a connection of its own), converts every object to the
//! compact model at once and drops it. Nothing of the API's own types is kept.

mod connection;
mod failure;
mod kind;
mod listing;
mod outage;
mod query;
mod recording;
mod retry;
mod watching;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::connection::Connection;
use self::listing::Latch;
use self::outage::Outage;
pub(super) use self::recording::record;
use self::watching::Watching;
use super::{SourceError, SourceHealth};
use crate::model::{Change, Label};

/// How the API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// A kubeconfig file; without one, the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// The API server's URL in place of the configured one, so that reaching it does not depend
    /// on the very service that is to be proxied.
    pub server: Option<String>,
}

/// Follows every kind until `stop` or until the receiver of `changes` is gone.
pub(super) async fn run(
    options: KubernetesOptions,
    node_name: Label,
    changes: mpsc::Sender<Change>,
    health: watch::Sender<SourceHealth>,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    // A connection each, made before anything starts: a wrong configuration is an error here.
    let services = Connection::open(&options).await?;
    let slices = Connection::open(&options).await?;
    let node = Connection::open(&options).await?;
    let cidrs = Connection::open(&options).await?;
    follow(
        [services, slices, node, cidrs],
        node_name,
        changes,
        health,
        stop,
    )
    .await;
    Ok(())
}

/// Runs one task per kind on its connection (services, slices, node, service CIDRs) until all have ended.
async fn follow(
    [services, slices, node, cidrs]: [Connection; 4],
    node_name: Label,
    changes: mpsc::Sender<Change>,
    health: watch::Sender<SourceHealth>,
    stop: CancellationToken,
) {
    let outage = Arc::new(Outage::new(services.address().to_owned(), health));
    let latch = Arc::new(Latch::default());
    let mut tasks = JoinSet::new();
    let watching = |connection| Watching {
        connection,
        node_name: node_name.clone(),
        changes: changes.clone(),
        outage: outage.clone(),
        latch: latch.clone(),
        is_counted: false,
        is_absent: false,
        stop: stop.clone(),
    };
    tasks.spawn(watching(services).follow::<Service>());
    tasks.spawn(watching(slices).follow::<EndpointSlice>());
    tasks.spawn(watching(node).follow::<Node>());
    tasks.spawn(watching(cidrs).follow::<ServiceCIDR>());
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
