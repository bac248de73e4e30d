//! From `KubeProxyConfiguration` to the settings of an agent. Every rule that a field must meet
//! is here, beside what the field is made into.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::GoDuration;
use super::check::Check;
use super::kube_proxy::{Conntrack, KubeProxyConfiguration};
use super::local_pods::local_pods;
use crate::settings::{
    HEALTHZ_PORT, METRICS_PORT, Masquerade, NodePortAddresses, ServeSettings, Settings,
};

/// The gate of KEP-5707.
pub(super) const EXTERNAL_IPS: &str = "AllowServiceExternalIPs";

/// What the plan and the datapath follow.
pub(super) fn settings(config: &KubeProxyConfiguration, check: &mut Check<'_>) -> Settings {
    let is_masquerading = config.iptables.masquerade_all || config.nftables.masquerade_all;
    Settings {
        node_port_addresses: node_port_addresses(config, check),
        node_ips: node_ips(&config.bind_address, check),
        local_pods: local_pods(config, check),
        masquerade: if is_masquerading {
            Masquerade::All
        } else {
            Masquerade::Needed
        },
        serves_external_ips: config.feature_gates.get(EXTERNAL_IPS) != Some(&false),
        ..Settings::default()
    }
}

/// What the health and metrics servers follow.
pub(super) fn serve(config: &KubeProxyConfiguration, check: &mut Check<'_>) -> ServeSettings {
    let (healthz, metrics) = (&config.healthz_bind_address, &config.metrics_bind_address);
    ServeSettings {
        healthz_bind_address: listener("healthzBindAddress", healthz, HEALTHZ_PORT, check),
        metrics_bind_address: listener("metricsBindAddress", metrics, METRICS_PORT, check),
        bind_address_hard_fail: config.bind_address_hard_fail,
        sync_period: sync_period(config, check).positive(),
        ..ServeSettings::default()
    }
}

/// Fields that mean nothing here, yet would be refused by kube-proxy.
pub(super) fn refuse_what_kube_proxy_refuses(
    config: &KubeProxyConfiguration,
    check: &mut Check<'_>,
) {
    let bits = 0..=31;
    for (bit, path) in [
        (config.iptables.masquerade_bit, "iptables.masqueradeBit"),
        (config.nftables.masquerade_bit, "nftables.masqueradeBit"),
    ] {
        check.require(bits.contains(&bit), path, "must be from 0 to 31");
    }
    let scores = -1000..=1000;
    let is_score = scores.contains(&config.oom_score_adj);
    check.require(is_score, "oomScoreAdj", "must be from -1000 to 1000");
    let burst = config.client_connection.burst;
    check.require(burst >= 0, "clientConnection.burst", "must not be negative");
    let verbosity = config.logging.verbosity;
    check.require(verbosity >= 0, "logging.verbosity", "must not be negative");
    let is_format = ["text", "json"].contains(&config.logging.format.as_str());
    check.require(is_format, "logging.format", "must be text or json");
    check.require_not_negative(config.config_sync_period, "configSyncPeriod");
    refuse_negative_conntrack(&config.conntrack, check);
}

fn refuse_negative_conntrack(conntrack: &Conntrack, check: &mut Check<'_>) {
    let Conntrack {
        max_per_core,
        min,
        tcp_established_timeout,
        tcp_close_wait_timeout,
        tcp_be_liberal: _,
        udp_timeout,
        udp_stream_timeout,
    } = *conntrack;
    for (number, path) in [
        (max_per_core, "conntrack.maxPerCore"),
        (min, "conntrack.min"),
    ] {
        check.require(number >= 0, path, "must not be negative");
    }
    for (timeout, path) in [
        (tcp_established_timeout, "conntrack.tcpEstablishedTimeout"),
        (tcp_close_wait_timeout, "conntrack.tcpCloseWaitTimeout"),
        (udp_timeout, "conntrack.udpTimeout"),
        (udp_stream_timeout, "conntrack.udpStreamTimeout"),
    ] {
        check.require_not_negative(timeout, path);
    }
}

/// That of the mode's section.
fn sync_period(config: &KubeProxyConfiguration, check: &mut Check<'_>) -> GoDuration {
    let (section, period, min_period) = match config.mode.as_str() {
        "ipvs" => ("ipvs", config.ipvs.sync_period, config.ipvs.min_sync_period),
        "nftables" => (
            "nftables",
            config.nftables.sync_period,
            config.nftables.min_sync_period,
        ),
        _ => (
            "iptables",
            config.iptables.sync_period,
            config.iptables.min_sync_period,
        ),
    };
    let (path, min_path) = (
        format!("{section}.syncPeriod"),
        format!("{section}.minSyncPeriod"),
    );
    check.require(!period.is_negative(), &path, "must be greater than 0");
    check.require_not_negative(min_period, &min_path);
    if period < min_period && !period.is_negative() {
        check.refuse(
            &path,
            format!("must not be less than {min_path}, which is {min_period}"),
        );
    }
    period
}

fn node_ips(bind_address: &str, check: &mut Check<'_>) -> Vec<IpAddr> {
    let address = bind_address
        .parse::<IpAddr>()
        .map_err(|_| "must be an IP address, for example 192.0.2.1 or 0.0.0.0".to_owned());
    let address = check.result("bindAddress", address);
    address
        .into_iter()
        .filter(|address| !address.is_unspecified())
        .collect()
}

/// `IP` or `IP:PORT`; nowhere if it is empty.
fn listener(path: &str, text: &str, port: u16, check: &mut Check<'_>) -> Option<SocketAddr> {
    if text.is_empty() {
        return None;
    }
    let address = match text.parse::<IpAddr>() {
        Ok(address) => Some(SocketAddr::new(address, port)),
        Err(_) => text.parse().ok(),
    };
    let address = address
        .filter(|address| address.port() != 0)
        .ok_or_else(|| {
            format!("must be IP or IP:PORT with a port from 1 to 65535, for example 0.0.0.0:{port}")
        });
    check.result(path, address)
}

fn node_port_addresses(
    config: &KubeProxyConfiguration,
    check: &mut Check<'_>,
) -> NodePortAddresses {
    let admits_localhost = config.iptables.localhost_node_ports;
    if config.node_port_addresses.is_empty() {
        return NodePortAddresses {
            localhost: admits_localhost,
            ..NodePortAddresses::default()
        };
    }
    let mut chosen = NodePortAddresses {
        primary: false,
        localhost: false,
        all: false,
        networks: Vec::new(),
    };
    let mut asks_for_localhost = false;
    for (entry, index) in config.node_port_addresses.iter().zip(0..) {
        match entry.trim() {
            "primary" => chosen.primary = true,
            "localhost" => asks_for_localhost = true,
            "all" => chosen.all = true,
            text => {
                let network = network(text).ok_or_else(|| {
                    "must be a network like 192.0.2.0/24, or primary, localhost or all".to_owned()
                });
                let path = format!("nodePortAddresses[{index}]");
                chosen.networks.extend(check.result(&path, network));
            }
        }
    }
    let includes_localhost = chosen.all || chosen.networks.iter().any(holds_loopback);
    chosen.localhost = asks_for_localhost || (includes_localhost && admits_localhost);
    chosen
}

/// Whether 127.0.0.1 or `::1` is inside, as it is in 0.0.0.0/0.
fn holds_loopback(network: &IpNet) -> bool {
    let loopback: IpAddr = match network {
        IpNet::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        IpNet::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    network.contains(&loopback)
}

/// A network in CIDR notation; bits of a host in it are cut off, as Go does.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().map(|network| network.trunc())
}
