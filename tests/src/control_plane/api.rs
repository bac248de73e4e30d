//! Fast writes to the API server: several requests at once, objects put as they are.

use std::{fmt, path::Path};

use anyhow::{Context, Result};
use futures::{TryStreamExt, stream};
use http::{Method, Request};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::ControlPlane;
use crate::namespace::Namespace;

/// Requests that are under way at once.
const AT_ONCE: usize = 8;

/// A request that writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// POST to the collection at this path.
    Create(String, Value),
    /// PUT of the object at this path.
    Replace(String, Value),
    /// PATCH of the status of the object at this path.
    Status(String, Value),
    /// DELETE of the object at this path.
    Delete(String),
}

/// The administrator's connection. Its sockets are in the underlay's namespace.
pub struct Api {
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
    /// Does chains of writes: those of a chain one after the other.
    ///
    /// # Errors
    /// When the API server refuses one, with its object.
    pub fn write(
        &self,
        chains: impl IntoIterator<Item = Vec<Write>, IntoIter: Send>,
    ) -> Result<()> {
        let chains = chains.into_iter();
        self.namespace.inside(|| {
            let all = stream::iter(chains.map(Ok)).try_for_each_concurrent(
                AT_ONCE,
                |chain: Vec<Write>| async move {
                    stream::iter(chain.into_iter().map(anyhow::Ok))
                        .try_for_each(|write| self.send(write))
                        .await
                },
            );
            self.runtime.block_on(all)
        })
    }

    /// Runs work with the API server's client, on a thread of the underlay's namespace.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn with_client<T: Send>(
        &self,
        work: impl AsyncFnOnce(Client) -> Result<T> + Send,
    ) -> Result<T> {
        self.namespace
            .inside(|| self.runtime.block_on(work(self.client.clone())))
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

impl ControlPlane<'_> {
    /// A connection of the administrator's.
    ///
    /// # Errors
    /// When its configuration cannot be read.
    pub fn connect(&self) -> Result<Api> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(open(self.admin_kubeconfig()))?;
        Ok(Api {
            namespace: self.lab.fabric().namespace().clone(),
            runtime,
            client,
        })
    }
}

async fn open(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    Client::try_from(config).context("the API server's client")
}
