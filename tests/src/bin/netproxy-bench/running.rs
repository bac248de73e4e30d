//! A proxy that runs on its node: its start, what it says of itself, its end, and its traces.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use netproxy_lab::{AgentOptions, ControlPlane, Lab, Node, Place, Process, binary};
use nix::sys::signal::Signal;

use crate::{
    asker::Moment,
    http,
    meter::{Cpu, Meter, Resident},
    system::{Proxy, System},
};

/// Where both proxies say how they fare.
const HEALTH_PORT: u16 = 10_256;
/// Where kube-proxy's metrics are.
const METRICS_PORT: u16 = 10_249;
/// kube-proxy's count of syncs, one for each family.
const SYNCS: &str = "kubeproxy_sync_proxy_rules_duration_seconds_count";
/// What netproxy logs of each kind of object, with the moment in front.
const LISTED: &str = "listed completely";
/// What kube-proxy logs.
const SYNCED: &str = "Caches are synced";
/// How long a proxy may take to end.
const LONGEST_END: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

/// A proxy at work. Dropping it ends it at once.
#[derive(Debug)]
pub(crate) struct Running {
    proxy: Proxy,
    node: Node,
    process: Process,
    meter: Meter,
    /// When it was started.
    pub(crate) started: Moment,
}

impl Running {
    /// Starts the proxy of `system` on the node of that name. It follows the API server, or, if it is netproxy, the
    /// `objects` in a directory.
    pub(crate) fn start(
        lab: &Lab,
        control_plane: &ControlPlane<'_>,
        system: System,
        objects: Option<&Path>,
    ) -> Result<Self> {
        let proxy = proxy_of(system)?;
        let node = lab.node(system.name())?;
        let meter = Meter::create(lab, &node)?;
        let program = meter.starter(&program(control_plane, proxy)?)?;
        let started = Moment::now();
        let process = match proxy {
            Proxy::Netproxy {
                at_sockets,
                has_xdp,
            } => {
                let options = match objects {
                    Some(objects) => AgentOptions::manifests(objects),
                    None => AgentOptions::kubernetes(control_plane.agent_kubeconfig()),
                };
                let mut options = options.binary(program);
                if at_sockets {
                    options = options.at_sockets();
                }
                if has_xdp {
                    options = options.argument("--xdp").argument("native");
                }
                node.start_agent(&options)?.process_handle()
            }
            Proxy::KubeProxy(mode) => control_plane.start_kube_proxy_by(program, &node, mode)?,
        };
        Ok(Self {
            proxy,
            node,
            process,
            meter,
            started,
        })
    }

    /// Waits until its health check says yes, which kube-proxy's does as soon as it answers at all.
    pub(crate) fn await_healthy(&self, deadline: Instant) -> Result<Moment> {
        let path = match self.proxy {
            Proxy::Netproxy { .. } => "/readyz",
            Proxy::KubeProxy(_) => "/healthz",
        };
        self.poll("is healthy", deadline, || {
            Ok(http::get(HEALTH_PORT, path)?.0 == 200)
        })
    }

    /// Waits until it has made the kernel's state what it wants for the first time.
    pub(crate) fn await_synced(&self, deadline: Instant) -> Result<Moment> {
        match self.proxy {
            Proxy::Netproxy { .. } => self.await_healthy(deadline),
            Proxy::KubeProxy(_) => self.poll("has synced", deadline, || {
                let (_, page) = http::get(METRICS_PORT, "/metrics")?;
                let mut syncs = page
                    .lines()
                    .filter(|line| line.starts_with(SYNCS))
                    .peekable();
                ensure!(syncs.peek().is_some(), "no {SYNCS}");
                Ok(syncs.all(|line| !line.ends_with(" 0")))
            }),
        }
    }

    /// When it had the last object of the complete lists, by its own log.
    pub(crate) fn listed_at(&self) -> Result<SystemTime> {
        let log = self.process.log() + &self.process.stdout();
        let last = |mark| {
            let mut lines = log.lines().rev();
            lines
                .find(|line| line.contains(mark))
                .with_context(|| format!("{mark:?} is not in: {log}"))
        };
        let at: Timestamp = match self.proxy {
            Proxy::Netproxy { .. } => {
                let line = last(LISTED)?;
                let word = line.split_whitespace().next().unwrap_or_default();
                word.parse()
                    .with_context(|| format!("no moment in {line}"))?
            }
            Proxy::KubeProxy(_) => {
                // "I1121 22:22:04.123456 …", without a year, in UTC.
                let line = last(SYNCED)?;
                let now = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
                let (day, rest) = line
                    .get(1..5)
                    .zip(line.get(6..21))
                    .with_context(|| format!("no moment in {line}"))?;
                format!("{}-{}-{}T{rest}Z", now.year(), &day[..2], &day[2..])
                    .parse()
                    .with_context(|| format!("no moment in {line}"))?
            }
        };
        Ok(at.into())
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        self.meter.cpu()
    }

    /// Its own memory.
    pub(crate) fn resident(&self) -> Result<Resident> {
        Resident::of(&self.process)
    }

    /// The memory that it is charged with ([`Meter::working_set`]).
    pub(crate) fn working_set(&self) -> Result<f64> {
        self.meter.working_set()
    }

    /// The most that it was ever charged with ([`Meter::peak`]).
    pub(crate) fn peak(&self) -> Result<f64> {
        self.meter.peak()
    }

    /// Lets it do nothing for a while: what it has put into the kernel works without it.
    pub(crate) fn halt(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Asks it to end; what it has put into the kernel stays.
    pub(crate) fn stop(self) -> Result<()> {
        self.process.stop(LONGEST_END).map(drop)
    }

    fn poll(
        &self,
        what: &str,
        deadline: Instant,
        mut is_so: impl FnMut() -> Result<bool> + Send,
    ) -> Result<Moment> {
        self.node.namespace().inside(|| {
            loop {
                let last = is_so();
                if matches!(last, Ok(true)) {
                    return Ok(Moment::now());
                }
                if Instant::now() > deadline || !self.process.is_running() {
                    let log = self.process.log();
                    let end: Vec<_> = log.lines().rev().take(5).collect();
                    bail!("{} never {what}: {last:?}; {end:#?}", self.node.name());
                }
                thread::sleep(POLL);
            }
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have been stopped.
        let _ = self.process.kill9();
    }
}

/// Removes what the proxy of `system` has left in the kernel.
pub(crate) fn wipe(lab: &Lab, system: System) -> Result<()> {
    let node = lab.node(system.name())?;
    match proxy_of(system)? {
        Proxy::Netproxy { .. } => node.netproxy(&["cleanup"]),
        // In the node's namespace there are only kube-proxy's.
        Proxy::KubeProxy(_) => node.run(&["nft", "flush", "ruleset"]),
    }
    .map(drop)
}

fn proxy_of(system: System) -> Result<Proxy> {
    system
        .proxy()
        .with_context(|| format!("{system} has no proxy to start"))
}

fn program(control_plane: &ControlPlane<'_>, proxy: Proxy) -> Result<PathBuf> {
    match proxy {
        Proxy::Netproxy { .. } => binary::find("netproxy"),
        Proxy::KubeProxy(_) => control_plane.program("kube-proxy"),
    }
}
