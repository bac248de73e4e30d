//! `netproxy run`: the agent.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use netproxy::agent::{self, AgentOptions};
use netproxy::check::{self, CheckOptions, Level};
use netproxy::datapath::{AttachMode, DatapathOptions, MapSize, Pins, SourcePorts};
use netproxy::node::DevicePatterns;
use netproxy::settings::{ServeSettings, Settings};
use netproxy::source::{KubernetesOptions, Source};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The API server's default for `--service-node-port-range`.
const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// Serve this node's service traffic until stopped; what is in force stays in force afterwards.
#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// Where Services, EndpointSlices and the Node come from: `kubernetes` (an API server), or
    /// `manifests:DIR` (a directory of YAML or JSON files, followed while it changes)
    #[arg(
        long,
        value_name = "SOURCE",
        default_value = "kubernetes",
        env = "NETPROXY_SOURCE"
    )]
    source: Source,

    /// Kubeconfig for the API server [default: the pod's service account]
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,

    /// Address of the API server in place of the configured one, for example
    /// `https://10.0.0.10:6443`; it must not depend on the services that are to be served
    #[arg(long, value_name = "URL", env = "NETPROXY_SERVER")]
    server: Option<String>,

    /// Name of this node's Node object [default: the host name in lower case]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: Option<String>,

    /// Attach only to devices that match (`*` and `?`); may be repeated [default: every device
    /// that carries pods or the outside]
    #[arg(long = "device", value_name = "PATTERN")]
    devices: Vec<String>,

    /// Never attach to devices that match; may be repeated
    #[arg(long = "exclude-device", value_name = "PATTERN")]
    excluded_devices: Vec<String>,

    /// How programs are attached to devices
    #[arg(long, value_enum, default_value_t)]
    attach: AttachMode,

    /// Create a map with this many entries, for example `FLOWS_V4=1048576`; may be repeated. A
    /// pinned map keeps its size until `netproxy cleanup`
    #[arg(long = "map-size", value_name = "MAP=ENTRIES")]
    map_sizes: Vec<MapSize>,

    /// The cgroup v2 directory of this node [default: where cgroup2 is mounted]
    #[arg(long, value_name = "DIR", env = "NETPROXY_CGROUP")]
    cgroup: Option<PathBuf>,
}

impl RunArgs {
    /// Runs the agent until SIGTERM or SIGINT.
    pub(super) fn run(self, bpffs: &Path) -> anyhow::Result<()> {
        look_around(bpffs, self.cgroup.as_deref());
        let options = self.options(bpffs)?;
        // One thread for the agent's own task, one for what waits on the network.
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("no threads can be started")?;
        runtime.block_on(run_until_signal(options))
    }

    fn options(self, bpffs: &Path) -> anyhow::Result<AgentOptions> {
        let node_name = node_name(self.node_name.as_deref())?;
        let args = self;
        Ok(AgentOptions {
            node_name: node_name.as_str().into(),
            source: source(args.source, args.kubeconfig, args.server)?,
            devices: DevicePatterns::new(&args.devices, &args.excluded_devices),
            datapath: DatapathOptions {
                pins: Pins::new(bpffs),
                attach: args.attach,
                ports: source_ports()?,
                map_sizes: args.map_sizes,
            },
            settings: Settings::default(),
            serve: ServeSettings::default(),
        })
    }
}

async fn run_until_signal(options: AgentOptions) -> anyhow::Result<()> {
    info!(version = env!("CARGO_PKG_VERSION"), node = %options.node_name, source = ?options.source, "netproxy starts");
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
    Ok(agent::run(options, stop).await?)
}

/// Says what `netproxy check` would find wrong; nothing of it stops the agent by itself.
fn look_around(bpffs: &Path, cgroup: Option<&Path>) {
    let options = CheckOptions {
        bpffs: bpffs.to_owned(),
        cgroup: cgroup.map(Path::to_owned),
        ..CheckOptions::default()
    };
    for finding in check::run(&options) {
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        match finding.level {
            Level::Problem => error!(remedy, "{}: {}", finding.subject, finding.found),
            Level::Warning => warn!(remedy, "{}: {}", finding.subject, finding.found),
            Level::Ok | Level::Note => {}
        }
    }
}

fn node_name(given: Option<&str>) -> anyhow::Result<String> {
    let host_name;
    let name = if let Some(name) = given {
        name
    } else {
        host_name = nix::unistd::gethostname()
            .context("this host's name cannot be read; name the node with --node-name")?;
        host_name
            .to_str()
            .context("this host's name is not UTF-8; name the node with --node-name")?
    };
    let name = name.trim().to_lowercase();
    if name.is_empty() {
        bail!("the node has no name; name it with --node-name");
    }
    Ok(name)
}

fn source(
    source: Source,
    kubeconfig: Option<PathBuf>,
    server: Option<String>,
) -> anyhow::Result<Source> {
    Ok(match source {
        Source::Kubernetes(_) => Source::Kubernetes(KubernetesOptions { kubeconfig, server }),
        Source::Manifests(_) if server.is_some() => {
            bail!("--server names an API server, but the source is a directory of manifests")
        }
        Source::Manifests(directory) => Source::Manifests(directory),
    })
}

fn source_ports() -> anyhow::Result<SourcePorts> {
    let runs = check::read_free_source_ports(Path::new("/proc"), &NODE_PORTS)
        .map_err(anyhow::Error::msg)
        .context("the ports that this host hands out cannot be read")?;
    if runs.is_empty() {
        bail!(
            "no source ports are left above 10240 beside net.ipv4.ip_local_port_range and the \
             NodePorts; make the former smaller, for example with \
             `sysctl -w net.ipv4.ip_local_port_range='32768 60999'`"
        );
    }
    Ok(SourcePorts::longest(&runs))
}
