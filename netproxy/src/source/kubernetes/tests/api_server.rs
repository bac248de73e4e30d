//! API servers whose every answer the test gives.

use std::sync::Arc;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::layer::layer_fn;
use tower::{BoxError, ServiceBuilder};
use tower_test::mock::{self, Handle, SendResponse};

use super::super::compact::Compact;
use super::super::connection::{ANSWER_TIMEOUT, Connection, counting};
use super::super::follow;
use super::super::kind::Kind;
use crate::model::{Change, ObjectName};
use crate::source::{Interest, SourceHealth};

/// The API server as one kind's connection sees it.
pub(super) struct ApiServer {
    requests: Handle<Request<Body>, Response<Body>>,
}

/// One request that waits for its answer.
pub(super) struct Asked {
    /// Path and query, without percent-encoding.
    pub(super) url: String,
    /// In what form the answer is wanted.
    pub(super) accept: String,
    answer: SendResponse<Response<Body>>,
}

/// A source at work on such servers, one for each kind.
pub(super) struct Following {
    pub(super) services: ApiServer,
    pub(super) slices: ApiServer,
    pub(super) node: ApiServer,
    pub(super) cidrs: ApiServer,
    /// Pods and Namespaces, where they are of interest.
    pub(super) clients: Vec<ApiServer>,
    pub(super) changes: mpsc::Receiver<Change>,
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<()>,
    health: watch::Receiver<SourceHealth>,
}

impl Following {
    pub(super) fn start() -> Self {
        Self::start_with(false)
    }

    /// The same, with pods of the node and namespaces.
    pub(super) fn start_with_pods() -> Self {
        Self::start_with(true)
    }

    fn start_with(has_pods: bool) -> Self {
        let (services, first) = ApiServer::connect();
        let (slices, second) = ApiServer::connect();
        let (node, third) = ApiServer::connect();
        let (cidrs, fourth) = ApiServer::connect();
        let mut connections = vec![
            (Kind::Services, first),
            (Kind::EndpointSlices, second),
            (Kind::Node, third),
            (Kind::ServiceCidrs, fourth),
        ];
        let mut clients = Vec::new();
        for kind in [Kind::Pods, Kind::Namespaces] {
            if has_pods {
                let (server, connection) = ApiServer::connect();
                clients.push(server);
                connections.push((kind, connection));
            }
        }
        let (changes, received) = mpsc::channel(64);
        let (health, published) = watch::channel(SourceHealth::Listing);
        let stop = CancellationToken::new();
        let interest = Interest {
            node_name: Arc::from("worker-1"),
            has_pods,
        };
        let follow = follow(connections, interest, changes, health, stop.clone());
        Self {
            services,
            slices,
            node,
            cidrs,
            clients,
            changes: received,
            stop,
            task: tokio::spawn(follow),
            health: published,
        }
    }

    pub(super) async fn change(&mut self) -> Change {
        self.changes.recv().await.expect("the source is at work")
    }

    pub(super) async fn until(&mut self, is_it: impl FnMut(&SourceHealth) -> bool) -> SourceHealth {
        let health = self.health.wait_for(is_it).await;
        health.expect("the source is at work").clone()
    }
}

impl ApiServer {
    fn connect() -> (Self, Connection) {
        let (service, requests) = mock::pair::<Request<Body>, Response<Body>>();
        let (count, answers) = watch::channel(0);
        let service = ServiceBuilder::new()
            .layer(layer_fn(Compact))
            .map_response(counting(count))
            .map_err(BoxError::from)
            .timeout(ANSWER_TIMEOUT)
            .service(service);
        let client = Client::new(service, "default");
        let server = Self { requests };
        (
            server,
            Connection::over(client, "https://api.test".to_owned(), answers),
        )
    }

    /// The next request.
    pub(super) async fn asked(&mut self) -> Asked {
        let (request, answer) = self.requests.next_request().await.expect("a request");
        let url = request.uri().path_and_query().unwrap().as_str();
        // kube begins every query with an empty pair.
        let url = url
            .replace("?&", "?")
            .replace("%21", "!")
            .replace("%3D", "=")
            .replace("%2F", "/");
        let accept = request.headers().get(http::header::ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok());
        Asked {
            accept: accept.unwrap_or_default().to_owned(),
            url,
            answer,
        }
    }
}

impl Asked {
    pub(super) fn answer(self, code: u16, body: String) {
        let response = Response::builder().status(code);
        let response = response.body(Body::from(body.into_bytes())).unwrap();
        self.answer.send_response(response);
    }

    /// No answer: the connection fails.
    pub(super) fn fail(self, why: &'static str) {
        self.answer.send_error(std::io::Error::other(why));
    }

    /// No answer, and no failure.
    pub(super) fn hold(self) {
        tokio::spawn(async move {
            let _held = self.answer;
            std::future::pending::<()>().await;
        });
    }
}

impl Change {
    /// Of what, if it exists.
    pub(super) fn name(&self) -> Option<ObjectName> {
        match self {
            Self::Service(name, Some(_)) | Self::Slice(name, Some(_)) => Some(name.clone()),
            _ => None,
        }
    }
}

/// An event of a watch.
#[derive(Clone)]
pub(super) struct Event(Value);

impl From<(&str, Value)> for Event {
    fn from((kind, object): (&str, Value)) -> Self {
        Self(json!({"type": kind, "object": object}))
    }
}

/// A watch's body.
pub(super) fn stream(events: &[Event]) -> String {
    let events = events.iter().map(|event| event.0.to_string() + "\n");
    events.collect()
}

/// The mark of a streamed list's end.
pub(super) fn bookmark(version: &str) -> Event {
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    let metadata = json!({"resourceVersion": version, "annotations": annotations});
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata});
    ("BOOKMARK", object).into()
}

pub(super) fn list(items: &[Value], version: &str, next: Option<&str>) -> String {
    let metadata = json!({"resourceVersion": version, "continue": next});
    json!({"apiVersion": "v1", "kind": "ServiceList", "metadata": metadata, "items": items})
        .to_string()
}

pub(super) fn status(code: u16, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code, "message": message, "reason": "",
    })
}

pub(super) fn service(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "shop", "name": name, "resourceVersion": version},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
    })
}
