//! Fast writes to the API server: one connection, several requests at once, objects put as they are.

use std::{fmt, path::Path};

use anyhow::{Context, Result};
use futures::{TryStreamExt, stream};
use http::{Method, Request};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use netproxy_lab::{ControlPlane, Lab, namespace::Namespace};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// Requests that are under way at once.
const AT_ONCE: usize = 8;

/// A request that writes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Write {
    /// POST to the collection at this path.
    Create(String, Value),
    /// PUT.
    Replace(String, Value),
    /// PATCH of the status.
    Status(String, Value),
    Delete(String),
}

/// The administrator's connection. Its sockets are in the underlay's namespace.
pub(crate) struct Api {
    namespace: Namespace,
    runtime: Runtime,
    client: Client,
}

impl fmt::Debug for Api {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    pub(crate) fn connect(lab: &Lab, control_plane: &ControlPlane<'_>) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(open(control_plane.admin_kubeconfig()))?;
        Ok(Self {
            namespace: lab.fabric().namespace().clone(),
            runtime,
            client,
        })
    }

    /// Does chains of writes: those of a chain one after the other.
    pub(crate) fn write(&self, chains: Vec<Vec<Write>>) -> Result<()> {
        let all = stream::iter(chains.into_iter().map(Ok)).try_for_each_concurrent(
            AT_ONCE,
            |chain| async move {
                stream::iter(chain.into_iter().map(anyhow::Ok))
                    .try_for_each(|write| self.send(write))
                    .await
            },
        );
        self.namespace.inside(|| self.runtime.block_on(all))
    }

    async fn send(&self, write: Write) -> Result<()> {
        let (method, path, body) = match write {
            Write::Create(path, body) => (Method::POST, path, Some(body)),
            Write::Replace(path, body) => (Method::PUT, path, Some(body)),
            Write::Status(path, body) => (Method::PATCH, path + "/status", Some(body)),
            Write::Delete(path) => (Method::DELETE, path, None),
        };
        let content = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let bytes = body.as_ref().map(serde_json::to_vec).transpose()?;
        let request = Request::builder()
            .method(&method)
            .uri(&path)
            .header("content-type", content)
            .body(bytes.unwrap_or_default())?;
        let sent = self.client.request::<Value>(request).await;
        sent.map(drop).with_context(|| {
            let body = body.unwrap_or_default();
            format!("the API server refuses {method} {path} of {body}")
        })
    }
}

async fn open(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    Client::try_from(config).context("the API server's client")
}
