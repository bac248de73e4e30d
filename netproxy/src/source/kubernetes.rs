//! A Kubernetes API server as the source.
//!
//! One task per kind: Services, EndpointSlices, this node's own Node, ServiceCIDRs, which not
//! every server has, and where pods may opt out of something the metadata of this node's Pods and of
//! Namespaces. Each follows its kind with a watch of its own (HTTP/1.1: a connection of its own), converts every object to the
//! compact model at once and drops it. Nothing of the API's own types is kept.

mod compact;
mod connection;
mod failure;
mod kind;
mod listing;
mod measured;
mod outage;
mod query;
mod recording;
mod retry;
mod watching;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::core::PartialObjectMeta;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::connection::Connection;
use self::kind::Kind;
use self::listing::Latch;
use self::outage::Outage;
pub(super) use self::recording::record;
use self::watching::Watching;
use super::{Interest, SourceError, SourceHealth};
use crate::model::Change;

/// How the API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// A kubeconfig file; without one, the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// The API server's URL in place of the configured one, so that reaching it does not depend
    /// on the very service that is to be proxied.
    pub server: Option<String>,
}

/// Follows every kind of interest until `stop` or until the receiver of `changes` is gone.
pub(super) async fn run(
    options: KubernetesOptions,
    interest: Interest,
    changes: mpsc::Sender<Change>,
    health: watch::Sender<SourceHealth>,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    // A connection each, made before anything starts: a wrong configuration is an error here.
    let mut connections = Vec::new();
    for kind in Kind::of(&interest) {
        connections.push((*kind, Connection::open(&options).await?));
    }
    follow(connections, interest, changes, health, stop).await;
    Ok(())
}

/// Runs one task per kind on its connection until all have ended.
async fn follow(
    connections: Vec<(Kind, Connection)>,
    interest: Interest,
    changes: mpsc::Sender<Change>,
    health: watch::Sender<SourceHealth>,
    stop: CancellationToken,
) {
    let address = connections.first().map(|(_, first)| first.address());
    let outage = Outage::new(address.unwrap_or_default().to_owned(), &interest, health);
    let outage = Arc::new(outage);
    let latch = Arc::new(Latch::new(connections.len()));
    let mut tasks = JoinSet::new();
    for (kind, connection) in connections {
        let watching = Watching {
            connection,
            node_name: interest.node_name.clone(),
            changes: changes.clone(),
            outage: outage.clone(),
            latch: latch.clone(),
            is_counted: false,
            is_absent: false,
            stop: stop.clone(),
        };
        match kind {
            Kind::Services => tasks.spawn(watching.follow::<Service>()),
            Kind::EndpointSlices => tasks.spawn(watching.follow::<EndpointSlice>()),
            Kind::Node => tasks.spawn(watching.follow::<Node>()),
            Kind::ServiceCidrs => tasks.spawn(watching.follow::<ServiceCIDR>()),
            Kind::Pods => tasks.spawn(watching.follow::<PartialObjectMeta<Pod>>()),
            Kind::Namespaces => tasks.spawn(watching.follow::<PartialObjectMeta<Namespace>>()),
        };
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
