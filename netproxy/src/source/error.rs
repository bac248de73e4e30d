//! Why a source cannot be used at all.

use std::path::PathBuf;

/// A source that is configured wrongly. What may mend itself is retried instead.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither of the two sources.
    #[error("unknown source {0:?}: use `kubernetes`, or `manifests:DIR`")]
    Unknown(String),

    /// The kubeconfig file cannot be used.
    #[error("kubeconfig {}: {source}; give a readable file with a usable context", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<kube::config::KubeconfigError>,
    },

    /// The pod's own service account cannot be used.
    #[error("not running in a pod with a service account ({0}); give a kubeconfig file")]
    InCluster(#[source] Box<kube::config::InClusterError>),

    /// The override of the API server's address is no URL.
    #[error("API server address {address:?}: {reason}; give a URL like https://192.0.2.1:6443")]
    Address {
        /// What was given.
        address: String,
        /// Why it is none.
        reason: String,
    },

    /// No client can be made of the configuration: certificates or credentials are unusable.
    #[error("API server {address}: {source}; check the credentials and the CA in {configuration}")]
    Client {
        /// Its address.
        address: String,
        /// Where the configuration came from.
        configuration: String,
        /// Why not.
        source: Box<kube::Error>,
    },

    /// The directory of manifests cannot be read.
    #[error("manifests directory {}: {source}; create it, or name another one", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },

    /// The directory of manifests cannot be watched.
    #[error(
        "manifests directory {} cannot be watched: {source}; raise fs.inotify.max_user_watches \
         and fs.inotify.max_user_instances if they are used up",
        path.display()
    )]
    Watch {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: notify::Error,
    },
}
