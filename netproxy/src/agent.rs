//! The agent: one task that owns the store and the datapath, and carries every change from the
//! source and the node's network into the maps.
//!
//! Nothing is removed before everything has been listed. Changes that arrive while others are
//! being applied are applied together, in one pass. What could not be applied is tried again.

mod flow_table;
mod measuring;
mod opening;
mod stale_sockets;
mod surroundings;
mod sync;
mod takeover;
mod warnings;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::flow_table::{FlowCare, SLICE_INTERVAL};
use self::opening::Opening;
use self::stale_sockets::Sweeps;
use self::takeover::Look;
use self::warnings::Warnings;
use crate::allocator;
use crate::datapath::{Claim, Counters, Datapath, DatapathError, DatapathOptions, Pins};
use crate::metrics::{Extent, Metrics};
use crate::model::{Change, Label, Node, ObjectName};
use crate::node::{self, DevicePatterns, NodeError, NodeNetwork, PodCgroups};
use crate::serve::{HealthChecks, HealthPublisher, ServeError, Servers};
use crate::settings::{ServeSettings, Settings};
use crate::source::{Interest, Source, SourceError, SourceHealth};
use crate::store::Store;
use crate::terminate::Terminator;

/// How many changes may wait while others are being applied, or programs verified: with all objects of a large
/// cluster on their way, the source goes on reading.
const WAITING_CHANGES: usize = 65_536;
/// How many changes are taken at once.
const CHANGES_AT_ONCE: usize = 16_384;
/// How often the whole state is compared with what the kernel holds.
const COMPARISON_INTERVAL: Duration = Duration::from_mins(1);
/// How long to wait before looking again whether another process writes the datapath.
const CLAIM_INTERVAL: Duration = Duration::from_millis(200);
/// How long to wait before trying again what the kernel refused, first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// How to run the agent.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// This node's name.
    pub node_name: Label,
    /// Where objects come from.
    pub source: Source,
    /// Which devices may be attached.
    pub devices: DevicePatterns,
    /// The datapath.
    pub datapath: DatapathOptions,
    /// Which traffic is served, and how.
    pub settings: Settings,
    /// Where the agent says how it fares.
    pub serve: ServeSettings,
}

/// Why the agent cannot go on.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The datapath cannot be opened.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The node's network cannot be watched.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The source is configured wrongly.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It cannot say how it fares, and may not go on without.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A task of the agent ended by itself.
    #[error("the {0} ended without a reason; this is a bug in netproxy, please report it")]
    Ended(&'static str),
}

/// Runs until `stop`. The datapath stays in force afterwards.
pub async fn run(options: AgentOptions, stop: CancellationToken) -> Result<(), AgentError> {
    let AgentOptions {
        node_name,
        source,
        devices,
        mut datapath,
        settings,
        serve,
    } = options;
    let tasks = TaskTracker::new();
    // Tasks end with the agent, however it ends.
    let stop = stop.child_token();
    let _guard = stop.clone().drop_guard();
    let checks = HealthChecks::new(&settings.node_port_addresses);
    let started = Timestamp::now();
    let health = HealthPublisher::new(started, checks);
    let (mut metrics, page) = Metrics::new(started, serve.metrics_objects_max as usize);
    let (mut servers, events) = Servers::start(serve, &source, &node_name, &health, page);
    let network = node::watch(&tasks, stop.clone()).await?;
    let cgroup = opt_out_below(&datapath);
    let interest = Interest {
        node_name: node_name.clone(),
        has_pods: cgroup.is_some(),
    };
    let cgroups = match cgroup {
        Some(base) => Some(node::watch_pod_cgroups(&tasks, stop.clone(), base).await?),
        None => None,
    };
    let (sender, mut changes) = mpsc::channel(WAITING_CHANGES);
    let (source_health, _) = watch::channel(SourceHealth::Listing);
    let source = source.run(interest, sender, source_health, stop.clone());
    let source = tokio::spawn(source);
    let terminator = stale_sockets::terminator(datapath.sockets.as_mut()).await;
    let Some(_claim) = claim(&datapath.pins, &stop).await? else {
        return Ok(());
    };
    metrics.source_ports.set_available(datapath.ports.count());
    let pins = datapath.pins.clone();
    let mut store = Store::on_node(node_name).with_settings(&settings);
    let opening = Opening {
        datapath,
        settings: settings.clone(),
        patterns: devices.clone(),
        network: network.borrow().clone(),
    };
    let datapath = opening.open(&mut store, &mut changes).await?;
    metrics.datapath.adopt(Counters::open(&pins)?);
    let agent = Agent {
        store,
        datapath,
        settings,
        patterns: devices,
        network: network.borrow().clone(),
        cgroups,
        node_ports: None,
        health,
        metrics,
        has_started: false,
        takes_over: false,
        looking: None,
        is_alone: false,
        terminator,
        sweeps: None,
        tasks: tasks.clone(),
        flow_care: FlowCare::default(),
        warnings: Warnings::new(events),
        refused: BTreeSet::new(),
        retry: RETRY.0,
    };
    let mut following = pin!(agent.follow(changes, network, stop.clone()));
    let outcome = tokio::select! {
        outcome = &mut following => outcome,
        ended = source => match ended {
            // The agent ends in order, too.
            Ok(Ok(())) if stop.is_cancelled() => following.await,
            Ok(Ok(())) | Err(_) => Err(AgentError::Ended("source")),
            Ok(Err(error)) => Err(error.into()),
        },
        error = servers.ended() => Err(error.map_or(AgentError::Ended("servers"), Into::into)),
    };
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    if matches!(outcome, Err(AgentError::Serve(_))) {
        servers.finish().await;
    }
    outcome
}

/// Waits until no other process writes the datapath; None: asked to stop before.
async fn claim(pins: &Pins, stop: &CancellationToken) -> Result<Option<Claim>, DatapathError> {
    let mut has_told = false;
    while !stop.is_cancelled() {
        if let Some(claim) = pins.claim()? {
            return Ok(Some(claim));
        }
        if !has_told {
            has_told = true;
            warn!(
                datapath = %pins.directory().display(),
                "another netproxy agent, or a cleanup, is at work on this datapath; waiting until it ends"
            );
        }
        tokio::select! {
            () = sleep(CLAIM_INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(None)
}

/// The cgroup below which pods may opt out of balancing at the socket.
fn opt_out_below(options: &DatapathOptions) -> Option<PathBuf> {
    let sockets = options.sockets.as_ref().filter(|it| it.has_opt_out)?;
    Some(sockets.cgroup.clone())
}

/// Waits for the next state; for ever where there is nothing to follow.
async fn changed<T>(
    receiver: &mut Option<watch::Receiver<T>>,
) -> Result<(), watch::error::RecvError> {
    match receiver {
        Some(receiver) => receiver.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until then; for ever where there is nothing to wait for.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Agent {
    store: Store,
    datapath: Datapath,
    patterns: DevicePatterns,
    settings: Settings,
    network: Arc<NodeNetwork>,
    /// The cgroups of this node's pods, where they may opt out of balancing at the socket.
    cgroups: Option<watch::Receiver<Arc<PodCgroups>>>,
    /// The addresses that NodePorts were last made to answer on.
    node_ports: Option<BTreeSet<IpAddr>>,
    health: HealthPublisher,
    metrics: Metrics,
    /// Whether everything has been applied once.
    has_started: bool,
    /// Whether frontends are coming into force that another proxy may serve.
    takes_over: bool,
    /// A look at what another proxy serves, until what comes into force in its place is planned.
    looking: Option<Look>,
    /// Whether no other proxy knew of connections to frontends of ours at the last look.
    is_alone: bool,
    /// Who ends sockets when their endpoint is gone, until `sweeps` has it.
    terminator: Option<Terminator>,
    sweeps: Option<Sweeps>,
    /// The agent's other tasks.
    tasks: TaskTracker,
    flow_care: FlowCare,
    warnings: Warnings,
    /// Services that the kernel refused.
    refused: BTreeSet<ObjectName>,
    /// How long to wait before they are tried again.
    retry: Duration,
}

impl Agent {
    async fn follow(
        mut self,
        mut changes: mpsc::Receiver<Change>,
        mut network: watch::Receiver<Arc<NodeNetwork>>,
        stop: CancellationToken,
    ) -> Result<(), AgentError> {
        let mut expiry = interval(SLICE_INTERVAL);
        let mut comparison = interval(COMPARISON_INTERVAL);
        for interval in [&mut expiry, &mut comparison] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut received = Vec::new();
        let mut has_source = true;
        let mut retry_at = None;
        self.network = network.borrow_and_update().clone();
        self.health.awaits_sockets(self.datapath.awaits_sockets());
        if !self.datapath.awaits_sockets() {
            self.serve_sockets(&stop)?;
        }
        info!("agent running; waiting for the complete lists of services, endpoints and this node");
        self.metrics.syncs.arrived(self.store.take_arrivals());
        if self.store.is_complete() {
            self.take_in(None, &stop)?;
        } else {
            self.look_at_network();
        }
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                count = changes.recv_many(&mut received, CHANGES_AT_ONCE), if has_source => {
                    // Its task knows the reason, and ends right after.
                    has_source = count > 0;
                    let node = self.store.node().cloned();
                    received.drain(..).for_each(|change| self.store.apply(change));
                    self.metrics.syncs.arrived(self.store.take_arrivals());
                    if self.store.is_complete() {
                        self.take_in(node.as_ref(), &stop)?;
                    }
                }
                outcome = network.changed() => {
                    if outcome.is_err() {
                        return Err(AgentError::Ended("watch of the node's network"));
                    }
                    self.network = network.borrow_and_update().clone();
                    self.look_at_network();
                }
                sweep = Sweeps::next(&mut self.sweeps) => self.judge(sweep),
                outcome = changed(&mut self.cgroups) => {
                    if outcome.is_err() {
                        return Err(AgentError::Ended("watch of the pods' cgroups"));
                    }
                    self.set_socket_clients();
                }
                _ = expiry.tick() => self.look_after_flows(),
                _ = comparison.tick() => self.compare(),
                () = due(retry_at) => {
                    self.apply(BTreeSet::new(), Extent::Partial);
                }
            }
            retry_at = self.next_retry(retry_at);
        }
        info!("agent stopped; the datapath stays in force");
        Ok(())
    }

    /// Brings into force what the store has taken in since it had this Node.
    fn take_in(
        &mut self,
        node: Option<&Node>,
        stop: &CancellationToken,
    ) -> Result<(), DatapathError> {
        self.health.node(self.store.node());
        if !self.has_started || self.store.node() != node {
            self.look_at_network();
        }
        self.set_socket_clients();
        let is_first = !self.has_started;
        self.bring_up_to_date();
        if is_first {
            allocator::give_back();
        }
        if self.datapath.awaits_sockets() {
            self.serve_sockets(stop)?;
            allocator::give_back();
        }
        if is_first {
            info!("first sync done");
        }
        Ok(())
    }
}
