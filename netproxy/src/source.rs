//! Where the cluster's objects come from.
//!
//! A source turns them into [`Change`]s: what exists, then [`Change::Listed`] once, then every
//! difference for as long as it runs. It never removes anything before it knows the whole, and
//! while the cluster cannot be reached it is silent, so that the last known state stays in force.

mod error;
mod event;
mod health;
mod interest;
mod kubernetes;
mod manifests;

use std::path::PathBuf;
use std::str::FromStr;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use self::error::SourceError;
pub use self::event::{Event, Events, Regarding};
pub use self::health::SourceHealth;
pub use self::interest::Interest;
pub use self::kubernetes::KubernetesOptions;
use crate::model::{Change, Label};

/// The command line's name of a Kubernetes API server.
const KUBERNETES: &str = "kubernetes";
/// The command line's prefix of a directory of manifests.
const MANIFESTS: &str = "manifests:";

/// A source of objects. On the command line: `kubernetes`, or `manifests:DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A Kubernetes API server, watched.
    Kubernetes(KubernetesOptions),
    /// A directory of YAML and JSON files, watched.
    Manifests(PathBuf),
}

impl Source {
    /// Sends what the source holds, as far as it is of `interest`, into `changes` until `stop` or until
    /// the receiver is gone. What happens to the source meanwhile is told by `health`; it is
    /// retried for ever.
    ///
    /// # Errors
    ///
    /// Only for what retrying cannot mend: a source that is configured wrongly.
    pub async fn run(
        self,
        interest: Interest,
        changes: mpsc::Sender<Change>,
        health: watch::Sender<SourceHealth>,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        match self {
            Self::Kubernetes(options) => {
                kubernetes::run(options, interest, changes, health, stop).await
            }
            Self::Manifests(directory) => {
                manifests::run(directory, interest, changes, health, stop).await
            }
        }
    }

    /// Writes events of the node `node_name` where the users of the source find them, until nobody
    /// tells any more. A directory of manifests has no such place: they stay in the log.
    pub async fn record(self, node_name: Label, mut events: mpsc::Receiver<Event>) {
        match self {
            Self::Kubernetes(options) => kubernetes::record(options, node_name, events).await,
            Self::Manifests(_) => {
                while let Some(Event { reason, note, .. }) = events.recv().await {
                    tracing::debug!(reason, note, "event");
                }
            }
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == KUBERNETES {
            return Ok(Self::Kubernetes(KubernetesOptions::default()));
        }
        match text.strip_prefix(MANIFESTS) {
            Some(directory) if !directory.is_empty() => Ok(Self::Manifests(directory.into())),
            _ => Err(SourceError::Unknown(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named_on_the_command_line() {
        let kubernetes = Source::Kubernetes(KubernetesOptions::default());
        assert_eq!("kubernetes".parse::<Source>().unwrap(), kubernetes);
        let manifests = Source::Manifests("/etc/netproxy".into());
        assert_eq!(
            "manifests:/etc/netproxy".parse::<Source>().unwrap(),
            manifests
        );
        for wrong in ["", "manifests", "manifests:", "Kubernetes", "/etc/netproxy"] {
            let error = wrong.parse::<Source>().unwrap_err();
            assert!(error.to_string().contains("manifests:DIR"), "{error}");
        }
    }
}
