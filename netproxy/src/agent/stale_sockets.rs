//! Sockets whose endpoint has gone, found after each change and ended by the process that may.
//!
//! One task does one sweep at a time: the kernel finds them, the agent decides which are to be ended,
//! and the terminator ends those.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use netproxy_common::StaleSocket;
use netproxy_common::protocol::UDP;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::{Agent, due};
use crate::causes::with_causes;
use crate::datapath::{Applied, DatapathError, SocketOptions, StaleSockets, endpoint_of};
use crate::settings::Termination;
use crate::terminate::{Doomed, Fate, Terminator, TerminatorError};

/// Between two sweeps at least.
const PAUSE: Duration = Duration::from_millis(20);
/// After a sweep another is made: a socket may have been given its endpoint just before the change,
/// and remembered it just after the sweep.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// Until a terminator that has failed is started again.
const RESTART: Duration = Duration::from_secs(10);

/// Starts the terminator that `sockets` asks for. Where there can be none, `sockets` is told, and
/// connected UDP sockets are balanced packet by packet.
pub(super) async fn terminator(sockets: Option<&mut SocketOptions>) -> Option<Terminator> {
    let sockets = sockets.filter(|sockets| sockets.termination.is_wanted())?;
    match Terminator::start().await {
        Ok(terminator) => Some(terminator),
        Err(error) => {
            warn!(
                error = with_causes(&error),
                "sockets whose endpoint is gone cannot be ended: connected UDP sockets are balanced \
                 packet by packet; --terminate-udp=false silences this"
            );
            sockets.termination = Termination::NONE;
            None
        }
    }
}

/// What a sweep has found, and whom to tell which of it are to be ended.
pub(super) struct Sweep {
    stale: Vec<StaleSocket>,
    doomed: oneshot::Sender<Vec<Doomed>>,
}

/// The agent's end of the task.
pub(super) struct Sweeps {
    termination: Termination,
    wanted: Arc<Notify>,
    found: mpsc::Receiver<Sweep>,
}

impl Sweeps {
    /// Starts the task, which runs until `stop`.
    pub(super) fn start(
        tasks: &TaskTracker,
        stop: CancellationToken,
        stale_sockets: StaleSockets,
        terminator: Terminator,
    ) -> Self {
        let (sender, found) = mpsc::channel(1);
        let wanted = Arc::new(Notify::new());
        let termination = stale_sockets.termination();
        let task = Task {
            wanted: wanted.clone(),
            stale_sockets,
            terminator: Some(terminator),
            found: sender,
            ended: FxHashSet::default(),
            bemoaned: FxHashSet::default(),
        };
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task.run() => {}
            }
        });
        Self {
            termination,
            wanted,
            found,
        }
    }

    /// Whether sockets may have become stale by what was applied.
    pub(super) fn concern(&self, applied: &Applied) -> bool {
        let has_changed = applied.written + applied.removed > 0;
        (self.termination.udp && applied.udp) || (self.termination.tcp && has_changed)
    }

    /// Has a sweep made soon.
    pub(super) fn request(&self) {
        self.wanted.notify_one();
    }

    /// The next sweep that has found something.
    pub(super) async fn next(sweeps: &mut Option<Self>) -> Sweep {
        if let Some(sweeps) = sweeps
            && let Some(sweep) = sweeps.found.recv().await
        {
            return sweep;
        }
        // The task ends with the agent.
        std::future::pending().await
    }
}

impl Agent {
    /// Attaches to sockets what is not attached to them yet; from now on, those are ended whose endpoint is gone.
    pub(super) fn serve_sockets(&mut self, stop: &CancellationToken) -> Result<(), DatapathError> {
        self.datapath.attach_sockets()?;
        self.health.awaits_sockets(false);
        let loads = self.datapath.program_loads();
        self.metrics.attachments.programs(loads);
        let sweeps = self.terminator.take().zip(self.datapath.stale_sockets());
        self.sweeps = sweeps
            .map(|(terminator, stale)| Sweeps::start(&self.tasks, stop.clone(), stale, terminator));
        Ok(())
    }

    /// Decides which sockets are to be ended: datagrams go into the void once their endpoint does not
    /// serve, but a connection may outlive that, as long as the endpoint is there.
    pub(super) fn judge(&self, sweep: Sweep) {
        // Many sockets, few endpoints.
        let mut gone = FxHashMap::default();
        let mut doomed = Vec::with_capacity(sweep.stale.len());
        for StaleSocket { connection, cookie } in sweep.stale {
            let endpoint = endpoint_of(&connection.pair);
            let service = connection.pair.service;
            let is_doomed = connection.protocol == UDP
                || *gone
                    .entry((service, endpoint.ip()))
                    .or_insert_with(|| self.is_endpoint_gone(service, endpoint.ip()));
            if is_doomed {
                doomed.push(Doomed {
                    netns: connection.netns,
                    cookie,
                    protocol: connection.protocol,
                    endpoint,
                });
            }
        }
        // The task ends with the agent.
        let _ = sweep.doomed.send(doomed);
    }

    /// Whether no slice of the service that has a port of this id lists the address, in whatever
    /// condition.
    fn is_endpoint_gone(&self, service: u32, address: IpAddr) -> bool {
        let Some(service) = self.datapath.service_name(service) else {
            return false;
        };
        let mut slices = self.store.slices(service);
        self.store.service(service).is_some()
            && !slices.any(|slice| {
                let mut endpoints = slice.endpoints.iter();
                endpoints.any(|endpoint| endpoint.address == address)
            })
    }
}

struct Task {
    wanted: Arc<Notify>,
    stale_sockets: StaleSockets,
    /// None: it has failed.
    terminator: Option<Terminator>,
    found: mpsc::Sender<Sweep>,
    /// Sockets that are no longer connected, but remember their endpoint until they are closed.
    ended: FxHashSet<Doomed>,
    /// Sockets that could not be ended, of which the log tells once.
    bemoaned: FxHashSet<Doomed>,
}

impl Task {
    async fn run(mut self) {
        let mut again_at: Option<Instant> = None;
        loop {
            let is_first = tokio::select! {
                () = self.wanted.notified() => true,
                () = due(again_at) => false,
            };
            again_at = is_first.then(|| Instant::now() + SECOND_LOOK);
            if let Err(error) = self.sweep().await {
                warn!(
                    error = with_causes(&error),
                    "sockets whose endpoint is gone cannot be ended; trying again"
                );
                self.terminator = None;
                again_at = Some(Instant::now() + RESTART);
            }
            sleep(PAUSE).await;
        }
    }

    async fn sweep(&mut self) -> Result<(), TerminatorError> {
        let began = Instant::now();
        let stale_sockets = self.stale_sockets.clone();
        let found = tokio::task::spawn_blocking(move || stale_sockets.find()).await;
        let stale = match found {
            Ok(Ok(stale)) => stale,
            Ok(Err(error)) => {
                warn!(
                    error = with_causes(&error),
                    "stale sockets cannot be looked for"
                );
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        debug!(stale = stale.len(), took = ?began.elapsed(), "sockets looked at");
        if stale.is_empty() {
            self.ended.clear();
            self.bemoaned.clear();
            return Ok(());
        }
        let (doomed, answer) = oneshot::channel();
        if self.found.send(Sweep { stale, doomed }).await.is_err() {
            return Ok(());
        }
        let Ok(doomed) = answer.await else {
            return Ok(());
        };
        let all: FxHashSet<_> = doomed.iter().copied().collect();
        self.ended.retain(|socket| all.contains(socket));
        self.bemoaned.retain(|socket| all.contains(socket));
        let doomed: Vec<_> = all.difference(&self.ended).copied().collect();
        self.end(&doomed).await
    }

    async fn end(&mut self, doomed: &[Doomed]) -> Result<(), TerminatorError> {
        if doomed.is_empty() {
            return Ok(());
        }
        let terminator = match &mut self.terminator {
            Some(terminator) => terminator,
            none => none.insert(Terminator::start().await?),
        };
        let fates = terminator.end(doomed).await?;
        let (mut ended, mut unreachable, mut refused) = (0_usize, 0_usize, None);
        for (socket, fate) in doomed.iter().zip(fates) {
            match fate {
                Fate::Ended => ended += 1,
                Fate::Gone => {}
                Fate::Unreachable => {
                    unreachable += usize::from(self.bemoaned.insert(*socket));
                    continue;
                }
                Fate::Refused(reason) => {
                    if self.bemoaned.insert(*socket) {
                        refused.get_or_insert(reason);
                    }
                    continue;
                }
            }
            self.ended.insert(*socket);
        }
        if ended > 0 {
            let endpoint = doomed.first().map(|socket| socket.endpoint.to_string());
            info!(
                sockets = ended,
                endpoint, "sockets ended, as their endpoint is gone"
            );
        }
        if unreachable > 0 {
            warn!(
                sockets = unreachable,
                "sockets whose endpoint is gone are in network namespaces that cannot be seen from \
                 here; run the agent in the host's pid namespace (hostPID: true)"
            );
        }
        if let Some(reason) = refused {
            warn!(
                reason,
                "the kernel refuses to end a socket whose endpoint is gone"
            );
        }
        Ok(())
    }
}
