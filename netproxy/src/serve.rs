//! Those who ask after the agent are answered: kubelets, load balancers, tools.
//!
//! Nothing here touches the agent's task: it publishes small values ([`HealthPublisher`]) and the
//! servers read the last one, also while the agent is busy. A port that cannot be had never keeps
//! services from being served, unless the operator says so (`bindAddressHardFail`).

mod answers;
mod complaints;
mod health;
mod health_checks;
mod http;
mod node_ports;
mod publisher;

#[cfg(test)]
mod tests;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::Request;
use hyper::body::Incoming;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

pub use self::health::Health;
pub use self::health_checks::HealthChecks;
pub use self::publisher::HealthPublisher;

use self::answers::Moment;
use self::complaints::Complaints;
use self::http::{Answer, listen_widely, serve};
use self::node_ports::NodePortServers;
use crate::metrics::MetricsPage;
use crate::model::Label;
use crate::settings::ServeSettings;
use crate::source::{Event, Events, Regarding, Source};

/// Between attempts to listen.
const RETRY: Duration = Duration::from_secs(5);
/// For the events that tell why the agent ends.
const LAST_EVENTS: Duration = Duration::from_secs(5);
/// Sync periods that a change may wait before the agent is unhealthy, as in kube-proxy.
const UNHEALTHY_AFTER: u32 = 2;
/// The action of events about the start, as in kube-proxy.
const STARTING_ACTION: &str = "StartKubeProxy";

/// Why the agent may not go on without answering.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address cannot be had, and the operator wants the agent to end then.
    #[error(
        "the {server} server cannot listen at {address}: {source}; end what listens there \
         (`ss -ltnp`), choose another address, or allow the agent to run without \
         (bindAddressHardFail)"
    )]
    Listen {
        /// Which server.
        server: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// One of the servers at an address that the operator chooses.
#[derive(Clone, Copy, Debug)]
struct Server {
    name: &'static str,
    /// The reason of the event when it cannot listen.
    failure: &'static str,
}

const HEALTH: Server = Server {
    name: "health",
    failure: "FailedToStartProxierHealthcheck",
};
const METRICS: Server = Server {
    name: "metrics",
    failure: "FailedToStartMetricServer",
};

/// The servers at work, and the scribe who writes what they and the agent have to tell. They end
/// when this is dropped.
#[derive(Debug)]
pub struct Servers {
    servers: AbortOnDropHandle<Result<(), ServeError>>,
    scribe: AbortOnDropHandle<()>,
}

impl Servers {
    /// Starts to answer with what `publisher` publishes and what stands on `page`, and tells users of the source that the
    /// agent starts. Also yields where more can be told.
    #[must_use]
    pub fn start(
        settings: ServeSettings,
        source: &Source,
        node_name: &Label,
        publisher: &HealthPublisher,
        page: MetricsPage,
    ) -> (Self, Events) {
        let (events, told) = Events::channel();
        let scribe = source.clone().record(node_name.clone(), told);
        events.tell(starting_event());
        let (health, checks) = (publisher.health(), publisher.checks());
        let servers = run(
            settings,
            node_name.clone(),
            health,
            checks,
            events.clone(),
            Arc::new(page),
        );
        let servers = Self {
            servers: AbortOnDropHandle::new(tokio::spawn(servers)),
            scribe: AbortOnDropHandle::new(tokio::spawn(scribe)),
        };
        (servers, events)
    }

    /// Waits until the servers end by themselves. They should only with an error.
    pub async fn ended(&mut self) -> Option<ServeError> {
        (&mut self.servers).await.ok()?.err()
    }

    /// Waits until what the servers had to tell is written, after they have ended; but not long:
    /// the API server may be away.
    pub async fn finish(self) {
        if timeout(LAST_EVENTS, self.scribe).await.is_err() {
            warn!("the last events could not be written in time");
        }
    }
}

/// The event of an agent that starts; dashboards know kube-proxy's by its reason and action.
fn starting_event() -> Event {
    Event {
        regarding: Regarding::Node,
        is_warning: false,
        reason: "Starting",
        action: STARTING_ACTION,
        note: concat!("netproxy ", env!("CARGO_PKG_VERSION"), " starts").to_owned(),
    }
}

/// Answers until dropped, or until nothing is published any more.
///
/// # Errors
/// When it cannot listen where it is told to, if the settings want that to be fatal.
async fn run(
    settings: ServeSettings,
    node_name: Label,
    health: watch::Receiver<Health>,
    checks: watch::Receiver<HealthChecks>,
    events: Events,
    page: Arc<MetricsPage>,
) -> Result<(), ServeError> {
    let ServeSettings {
        healthz_bind_address,
        metrics_bind_address,
        bind_address_hard_fail: is_fatal,
        sync_period,
        metrics_objects_max: _,
    } = settings;
    let limit = sync_period.saturating_mul(UNHEALTHY_AFTER);
    let node_ports = NodePortServers::new(node_name, health.clone(), checks, limit, events.clone());
    let counts = page.answers().clone();
    let tell_health = move |request: &Request<Incoming>| {
        answers::health(request, &health.borrow(), limit, Moment::now(), &counts)
    };
    let tell_metrics = move |request: &Request<Incoming>| answers::metrics(request, &page);
    tokio::select! {
        error = stand(HEALTH, healthz_bind_address, is_fatal, &events, tell_health) => Err(error),
        error = stand(METRICS, metrics_bind_address, is_fatal, &events, tell_metrics) => {
            Err(error)
        }
        () = node_ports.run() => Ok(()),
    }
}

/// Answers at `address`, if there is one, as soon as it can be had. Only ends if that is fatal.
async fn stand<R>(
    server: Server,
    address: Option<SocketAddr>,
    is_fatal: bool,
    events: &Events,
    respond: R,
) -> ServeError
where
    R: Fn(&Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
{
    let Some(address) = address else {
        return pending().await;
    };
    let Server { name, failure } = server;
    let mut complaints = Complaints::new();
    loop {
        let source = match listen_widely(address) {
            Ok(listener) => {
                info!(server = name, %address, "listening");
                match serve(listener, respond).await {}
            }
            Err(source) => source,
        };
        let error = ServeError::Listen {
            server: name,
            address,
            source,
        };
        if complaints.is_due((), Instant::now()) {
            error!(%error, retry = ?RETRY, is_fatal, "nobody is answered");
            events.tell(Event {
                regarding: Regarding::Node,
                is_warning: true,
                reason: failure,
                action: STARTING_ACTION,
                note: error.to_string(),
            });
        }
        if is_fatal {
            return error;
        }
        sleep(RETRY).await;
    }
}
