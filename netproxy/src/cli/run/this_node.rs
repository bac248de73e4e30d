//! What the agent has to know of the node that it starts on.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use netproxy::check::{self, CheckOptions, Level};
use netproxy::config::OwnSettings;
use netproxy::datapath::{SocketOptions, SourcePorts};
use netproxy::settings::{SocketBalancing, Termination};
use netproxy_common::SocketScope;
use tracing::{error, info, warn};

/// The API server's default for `--service-node-port-range`.
const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// Says what `netproxy check` would find wrong; nothing of it stops the agent by itself.
pub(super) fn look_around(bpffs: &Path, cgroup: Option<&Path>) {
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

/// This host's name, as kube-proxy would have it.
pub(in crate::cli) fn host_name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname()
        .context("this host's name cannot be read; name the node with --hostname-override")?;
    let name = name
        .to_str()
        .context("this host's name is not UTF-8; name the node with --hostname-override")?
        .trim()
        .to_lowercase();
    if name.is_empty() {
        bail!("the node has no name; name it with --hostname-override");
    }
    Ok(name)
}

/// Which processes are balanced at the socket, and where their cgroup is.
pub(super) fn sockets(
    own: &OwnSettings,
    has_loopback_node_ports: bool,
) -> anyhow::Result<Option<SocketOptions>> {
    let scope = match own.socket_balancing.unwrap_or_default() {
        SocketBalancing::All => SocketScope::Everyone,
        SocketBalancing::HostOnly => SocketScope::HostOnly,
        SocketBalancing::Off => return Ok(None),
    };
    let cgroup = match &own.cgroup {
        Some(cgroup) => cgroup.clone(),
        None => find_cgroup()?,
    };
    Ok(Some(SocketOptions {
        cgroup,
        scope,
        // Where only the host is balanced, there is nothing to opt out of.
        has_opt_out: own.socket_opt_out.unwrap_or_default() && scope == SocketScope::Everyone,
        has_loopback_node_ports,
        termination: Termination {
            udp: own.terminate_udp.unwrap_or(Termination::default().udp),
            tcp: own.terminate_tcp.unwrap_or(Termination::default().tcp),
        },
    }))
}

fn find_cgroup() -> anyhow::Result<PathBuf> {
    let root = check::find_cgroup_root(Path::new("/proc"))
        .context("/proc/self/mountinfo cannot be read")?
        .context(
            "no cgroup v2 hierarchy is mounted; mount it with `mkdir -p /run/netproxy/cgroup \
             && mount -t cgroup2 none /run/netproxy/cgroup`, or go without with \
             --socket-balancing off",
        )?;
    // What is wrong with it has been said by `look_around`.
    info!(cgroup = %root.path.display(), reason = %root.reason, "cgroup chosen");
    Ok(root.path)
}

/// The ports that hidden clients are told apart by.
pub(super) fn source_ports() -> anyhow::Result<SourcePorts> {
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
