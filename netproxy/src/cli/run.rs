//! `netproxy run`: the agent.

mod field_flags;
mod kube_proxy;
mod own;
mod this_node;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use netproxy::agent::{self, AgentOptions};
use netproxy::capabilities::keep_those_of_agent;
use netproxy::config::{ConfigFile, Configuration, Notices, OwnSettings, Watch};
use netproxy::datapath::{DatapathOptions, FlowsMax, Pins};
use netproxy::node::DevicePatterns;
use netproxy::settings::{ServeSettings, Settings};
use netproxy::source::{KubernetesOptions, Source};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::kube_proxy::KubeProxyArgs;
use self::own::OwnArgs;
pub(super) use self::this_node::host_name;
use self::this_node::{look_around, sockets, source_ports};
use super::cleanup::clean_up;
use super::log::{LogArgs, LogWish};
use super::table::Listing;

const DETAILS: &str = "\
It takes kube-proxy's flags and its configuration file, so that it can stand where kube-proxy did.
What has no meaning here is accepted and named in one warning; what is wrong is refused.

Examples:
  netproxy run --config /var/lib/kube-proxy/config.conf --hostname-override worker-1
  netproxy run --kubeconfig /etc/kubernetes/kube-proxy.conf --nodeport-addresses primary
  netproxy run --source manifests:/etc/netproxy/manifests --device 'eth*' --device 'veth*'";

/// Serve this node's service traffic until stopped; what is in force stays in force afterwards.
#[derive(Args, Debug)]
#[command(after_long_help = DETAILS, version, display_name = "netproxy")]
pub(super) struct RunArgs {
    #[command(flatten)]
    kube_proxy: KubeProxyArgs,
    #[command(flatten)]
    own: OwnArgs,
}

impl RunArgs {
    /// Runs the agent until SIGTERM or SIGINT, or until its configuration changes.
    pub(super) fn run(
        self,
        bpffs: &Path,
        log: LogArgs,
        list: &mut Listing<'_>,
    ) -> anyhow::Result<()> {
        let file = self.kube_proxy.file()?;
        let configuration = Configuration::new(file.as_ref(), self.kube_proxy.flags())?;
        let logging = &configuration.kube_proxy.logging;
        log.init(LogWish {
            verbosity: logging.verbosity,
            is_json: logging.format == "json",
        })?;
        tell(&configuration.notices);
        if let Some(path) = &self.kube_proxy.write_config_to {
            configuration.write(path)?;
            info!(file = %path.display(), "configuration written");
            return Ok(());
        }
        if self.kube_proxy.cleanup() {
            return clean_up(&Pins::new(bpffs), list);
        }
        if self.kube_proxy.init_only() {
            warn!("--init-only means nothing here: `netproxy init` gives a node what it lacks");
            return Ok(());
        }
        let own = self.own.over(configuration.own.clone());
        look_around(bpffs, own.cgroup.as_deref());
        let options = options(bpffs, self.kube_proxy.server(), configuration, own)?;
        let sockets = options.datapath.sockets.as_ref();
        let ends_sockets = sockets.is_some_and(|sockets| sockets.termination.is_wanted());
        if let Err(error) = keep_those_of_agent(ends_sockets) {
            warn!(%error, "the agent keeps capabilities that it does not need");
        }
        // One thread for the agent's own task, one for what waits on the network.
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("no threads can be started")?;
        runtime.block_on(run_until_signal(options, file))
    }
}

fn options(
    bpffs: &Path,
    server: Option<String>,
    configuration: Configuration,
    own: OwnSettings,
) -> anyhow::Result<AgentOptions> {
    let Configuration {
        kube_proxy,
        settings,
        serve,
        node_name,
        ..
    } = configuration;
    if !kube_proxy.mode.is_empty() {
        info!(asked_for = kube_proxy.mode, "the proxy mode is always eBPF");
    }
    let node_name = node_name.map_or_else(host_name, Ok)?;
    let sockets = sockets(&own, settings.node_port_addresses.localhost)?;
    let kubeconfig = kube_proxy.client_connection.kubeconfig;
    let kubeconfig = (!kubeconfig.is_empty()).then(|| PathBuf::from(kubeconfig));
    Ok(AgentOptions {
        node_name: node_name.as_str().into(),
        source: source(own.source, kubeconfig, server.or(own.server))?,
        devices: DevicePatterns::new(&own.devices, &own.excluded_devices),
        datapath: DatapathOptions {
            pins: Pins::new(bpffs),
            attach: own.attach.unwrap_or_default(),
            xdp: own.xdp.unwrap_or_default(),
            ports: source_ports()?,
            sockets,
            // What is said of one map goes before what is said of flows.
            map_sizes: own
                .flows_max
                .map(FlowsMax::map_sizes)
                .into_iter()
                .flatten()
                .filter(|size| !own.map_sizes.iter().any(|other| other.is_of_map_of(size)))
                .chain(own.map_sizes.iter().copied())
                .collect(),
        },
        settings: Settings {
            masquerade: own.masquerade.unwrap_or(settings.masquerade),
            external_balancing: own.external_balancing.unwrap_or_default(),
            ..settings
        },
        serve: ServeSettings {
            metrics_objects_max: own.metrics_objects_max.unwrap_or(serve.metrics_objects_max),
            ..serve
        },
    })
}

async fn run_until_signal(options: AgentOptions, file: Option<ConfigFile>) -> anyhow::Result<()> {
    info!(version = env!("CARGO_PKG_VERSION"), node = %options.node_name, source = ?options.source, "netproxy starts");
    info!(settings = ?options.settings, serve = ?options.serve, "settings in force");
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be awaited")?;
    let stopper = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM received"),
            _ = interrupt.recv() => info!("SIGINT received"),
        }
        stopper.cancel();
    });
    let Some(file) = file else {
        return Ok(Box::pin(agent::run(options, stop)).await?);
    };
    let watch = Watch::new(&file)?;
    let mut agent = std::pin::pin!(agent::run(options, stop.clone()));
    tokio::select! {
        outcome = &mut agent => Ok(outcome?),
        change = watch.changed() => {
            stop.cancel();
            agent.await?;
            Err(change.into())
        }
    }
}

/// What is not wrong, but may not be what the operator thinks.
fn tell(notices: &Notices) {
    let Notices {
        meaningless,
        unknown,
        doubled,
        overridden,
    } = notices;
    if let Some(settings) = meaningless {
        warn!(settings, "accepted, but without a meaning here");
    }
    if let Some(fields) = unknown {
        warn!(
            fields,
            "KubeProxyConfiguration has no such fields; they are ignored"
        );
    }
    if let Some(reason) = doubled {
        warn!(reason, "read leniently: the last of equal names counts");
    }
    if let Some(flags) = overridden {
        warn!(flags, "ignored, because --config overrides them");
    }
}

fn source(
    source: Option<Source>,
    kubeconfig: Option<PathBuf>,
    server: Option<String>,
) -> anyhow::Result<Source> {
    Ok(match source {
        None | Some(Source::Kubernetes(_)) => {
            Source::Kubernetes(KubernetesOptions { kubeconfig, server })
        }
        Some(Source::Manifests(_)) if server.is_some() => {
            bail!("--server names an API server, but the source is a directory of manifests")
        }
        Some(Source::Manifests(directory)) => Source::Manifests(directory),
    })
}
