//! Kubernetes objects made from the lab's places, as `kubectl` and the API server would write them.
//!
//! [`Objects`] is a directory of manifests, one file per Service with its `EndpointSlices`, which may
//! be read at any time: a file is replaced whole or not at all. The objects themselves
//! ([`ServiceObject`], [`node_object`]) are plain JSON, for an API server as well.
//!
//! ```no_run
//! use netproxy_lab::{Cni, Lab, Objects, Port, ServiceObject};
//!
//! # fn main() -> anyhow::Result<()> {
//! let lab = Lab::builder("hello").node("a", Cni::Bridge).pod("web").up()?;
//! let objects = Objects::in_directory(lab.directory().join("objects"))?;
//! objects.put_node(&lab.node("a")?)?;
//! let web = ServiceObject::new("shop", "web")
//!     .cluster_ips(&["10.96.0.10", "fd10:96::10"])
//!     .port(Port::tcp("http", 80).target(8080).node_port(30080))
//!     .endpoint(&lab.pod("web")?);
//! objects.put(&web)?;
//! # Ok(())
//! # }
//! ```

mod endpoint;
mod pod;
mod service;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

pub use self::{
    endpoint::EndpointObject,
    pod::{SOCKET_BALANCING, namespace_object, pod_object},
    service::{Port, Protocol, ServiceObject, TrafficPolicy},
};
use crate::{Node, Place, Pod};

/// A directory of manifests.
#[derive(Clone, Debug)]
pub struct Objects {
    directory: PathBuf,
}

impl Objects {
    /// The directory, made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        Ok(Self { directory })
    }

    /// Where the files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes the Node, in place of what it was before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put_node(&self, node: &Node) -> Result<()> {
        self.write(&node_file_name(node), &node_object(node))
    }

    /// Removes the Node.
    ///
    /// # Errors
    /// When the file cannot be removed; one that is not there is no error.
    pub fn remove_node(&self, node: &Node) -> Result<()> {
        remove(&self.directory.join(node_file_name(node)))
    }

    /// Writes the Pod, in place of what it was before. It wishes (`on`, `off`) to be balanced at its
    /// sockets or not, or has no wish.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put_pod(&self, pod: &Pod, namespace: &str, wish: Option<&str>) -> Result<()> {
        let file = format!("pod-{}.json", pod.name());
        self.write(&file, &pod_object(pod, namespace, wish))
    }

    /// Writes the Namespace, in place of what it was before. Its pods wish to be balanced at their
    /// sockets or not, unless they have wishes of their own.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put_namespace(&self, name: &str, wish: Option<&str>) -> Result<()> {
        let file = format!("namespace-{name}.json");
        self.write(&file, &namespace_object(name, wish))
    }

    /// Writes the Service with its slices, in place of what it was before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&self, service: &ServiceObject) -> Result<()> {
        self.write(&file_name(service), &list(&service.objects()))
    }

    /// Removes the Service with its slices.
    ///
    /// # Errors
    /// When the file cannot be removed; one that is not there is no error.
    pub fn remove(&self, service: &ServiceObject) -> Result<()> {
        remove(&self.file(service))
    }

    /// The file of the Service with its slices, whether it is there or not.
    #[must_use]
    pub fn file(&self, service: &ServiceObject) -> PathBuf {
        self.directory.join(file_name(service))
    }

    fn write(&self, name: &str, object: &Value) -> Result<()> {
        let text = serde_json::to_string_pretty(object)?;
        replace(&self.directory.join(name), &text)
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// Replaces a file whole: whoever reads it sees the old text or the new one.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    // Hidden files are no manifests.
    let name = path.file_name().context("the path names no file")?;
    let fresh = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// The Node, ready, with its `InternalIP`s and pod CIDRs.
#[must_use]
pub fn node_object(node: &Node) -> Value {
    let cidrs = node.pod_cidrs();
    let mut addresses: Vec<_> = node
        .internal_ips()
        .iter()
        .map(|address| json!({ "type": "InternalIP", "address": address }))
        .collect();
    addresses.push(json!({ "type": "Hostname", "address": node.name() }));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name(),
            "labels": {
                "kubernetes.io/hostname": node.name(),
                "kubernetes.io/os": "linux",
            },
        },
        "spec": {
            "podCIDR": cidrs.v4.to_string(),
            "podCIDRs": [cidrs.v4.to_string(), cidrs.v6.to_string()],
        },
        "status": {
            "addresses": addresses,
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }],
        },
    })
}

/// Many objects as one, as `kubectl get -o json` prints them and `kubectl apply` takes them.
#[must_use]
pub fn list(objects: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": objects })
}

fn node_file_name(node: &Node) -> String {
    format!("node-{}.json", node.name())
}

fn file_name(service: &ServiceObject) -> String {
    format!("service-{}-{}.json", service.namespace(), service.name())
}
