//! What the agent asks of the API server, by the names of Kubernetes' own client.

use std::sync::LazyLock;
use std::time::Duration;

use http::{Method, StatusCode, Uri};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::register;

/// A process has one API server, whichever of its tasks asks.
static REQUESTS: LazyLock<Requests> = LazyLock::new(|| Requests {
    answers: Family::default(),
    durations: Family::new_with_constructor(durations),
});

/// The buckets of Kubernetes' client, in seconds.
const BUCKETS: [f64; 12] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0,
];
/// In place of the status code where there was no answer.
const NO_ANSWER: &str = "<error>";

struct Requests {
    answers: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    code: String,
    host: String,
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    host: String,
    verb: String,
}

pub(super) fn put_on(registry: &mut Registry) {
    register(
        registry,
        "rest_client_requests",
        "Requests to the API server, by status code, method and host",
        REQUESTS.answers.clone(),
    );
    register(
        registry,
        "rest_client_request_duration_seconds",
        "How long the API server took until the head of its answer",
        REQUESTS.durations.clone(),
    );
}

/// Notes a request, with the status of its answer if there was one.
pub(crate) fn note_request(method: &Method, uri: &Uri, status: Option<StatusCode>, took: Duration) {
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let (host, verb) = (host.to_owned(), method.as_str().to_owned());
    let answered = Answered {
        code: status
            .as_ref()
            .map_or(NO_ANSWER, StatusCode::as_str)
            .to_owned(),
        host: host.clone(),
        method: verb.clone(),
    };
    REQUESTS.answers.get_or_create(&answered).inc();
    let durations = REQUESTS.durations.get_or_create(&Asked { host, verb });
    durations.observe(took.as_secs_f64());
}

fn durations() -> Histogram {
    Histogram::new(BUCKETS)
}
