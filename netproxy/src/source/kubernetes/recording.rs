//! Events are written to the API server (events.k8s.io/v1). The role `system:node-proxier`, which
//! Kubernetes itself gives to `system:kube-proxy`, allows that.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{self, EventType, Recorder, Reporter};
use thiserror::Error;
use tokio::sync::mpsc;

use super::KubernetesOptions;
use super::connection::Connection;
use crate::model::{Label, ObjectName};
use crate::source::{Event, Regarding, SourceError};

/// Who reports.
const CONTROLLER: &str = "netproxy";
/// The API's limit of a note, in bytes.
const LONGEST_NOTE: usize = 1024;
/// An API server that is away for longer is told nothing of it.
const ATTEMPTS: usize = 6;
/// How long to wait between attempts, first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Why an event was not written.
#[derive(Debug, Error)]
enum RecordingError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Api(#[from] Box<kube::Error>),
}

/// Writes events as they come, until nobody tells any more.
pub(in crate::source) async fn record(
    options: KubernetesOptions,
    node_name: Label,
    mut events: mpsc::Receiver<Event>,
) {
    let mut recorder = None;
    while let Some(event) = events.recv().await {
        let attempt = || attempt(&options, &node_name, recorder.clone(), &event);
        let backoff = ExponentialBuilder::default()
            .with_min_delay(RETRY.0)
            .with_max_delay(RETRY.1)
            .with_max_times(ATTEMPTS - 1);
        match attempt.retry(backoff).await {
            Ok(kept) => recorder = Some(kept),
            Err(error) => {
                let Event { reason, note, .. } = &event;
                tracing::warn!(
                    %error, reason, note,
                    remedy = "bind the cluster role system:node-proxier if it is forbidden",
                    "event not written"
                );
                // The next one reads the configuration anew.
                recorder = None;
            }
        }
    }
}

/// Writes one event. The recorder is worth keeping: it counts what repeats itself.
async fn attempt(
    options: &KubernetesOptions,
    node_name: &Label,
    kept: Option<Recorder>,
    event: &Event,
) -> Result<Recorder, RecordingError> {
    let recorder = match kept {
        Some(recorder) => recorder,
        None => Recorder::new(
            Connection::open(options).await?.client(),
            Reporter {
                controller: CONTROLLER.to_owned(),
                instance: Some(node_name.to_string()),
            },
        ),
    };
    recorder
        .publish(&published(event), &reference(&event.regarding, node_name))
        .await
        .map_err(Box::new)?;
    Ok(recorder)
}

fn published(event: &Event) -> events::Event {
    let Event {
        regarding: _,
        is_warning,
        reason,
        action,
        note,
    } = event;
    let end = note.floor_char_boundary(LONGEST_NOTE);
    events::Event {
        type_: if *is_warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: (*reason).to_owned(),
        note: Some(note[..end].to_owned()),
        action: (*action).to_owned(),
        secondary: None,
    }
}

/// As kube-proxy names them: it has no UIDs either, and `kubectl describe node` looks for the name
/// in that place.
fn reference(regarding: &Regarding, node_name: &Label) -> ObjectReference {
    let (kind, namespace, name, uid) = match regarding {
        Regarding::Node => ("Node", None, node_name, node_name.to_string()),
        Regarding::Service(service) => {
            let ObjectName { namespace, name } = service;
            ("Service", Some(namespace), name, service.to_string())
        }
    };
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace: namespace.map(ToString::to_string),
        name: Some(name.to_string()),
        uid: Some(uid),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_at_the_limit_and_between_characters() {
        let event = Event {
            regarding: Regarding::Node,
            is_warning: true,
            reason: "Reason",
            action: "Action",
            note: "é".repeat(600),
        };

        let note = published(&event).note.unwrap();

        assert_eq!(note, "é".repeat(512));
    }

    #[test]
    fn events_of_a_service_are_in_its_namespace_and_those_of_the_node_in_none() {
        let node_name: Label = "worker-1".into();
        let web = Regarding::Service(ObjectName::new("shop", "web"));

        let [service, node] = [web, Regarding::Node].map(|it| reference(&it, &node_name));

        assert_eq!(service.namespace.as_deref(), Some("shop"));
        assert_eq!(service.uid.as_deref(), Some("shop/web"));
        assert_eq!(node.namespace, None);
        assert_eq!(node.uid.as_deref(), Some("worker-1"));
    }
}
