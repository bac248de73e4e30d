//! `KubeProxyConfiguration` in `kubeproxy.config.k8s.io/v1alpha1`, as Kubernetes 1.37 has it, with
//! kube-proxy's defaults. Nothing but the shape: what it means here is told by the table of fields.

#![expect(
    missing_docs,
    reason = "the table of fields tells what each of them means"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::GoDuration;
use crate::settings::{HEALTHZ_PORT, METRICS_PORT};

/// The configuration of a kube-proxy.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeProxyConfiguration {
    pub feature_gates: BTreeMap<String, bool>,
    pub client_connection: ClientConnection,
    pub logging: Logging,
    pub hostname_override: String,
    pub bind_address: String,
    pub healthz_bind_address: String,
    pub metrics_bind_address: String,
    pub bind_address_hard_fail: bool,
    pub enable_profiling: bool,
    pub show_hidden_metrics_for_version: String,
    pub mode: String,
    pub iptables: IpTables,
    pub ipvs: Ipvs,
    pub nftables: NfTables,
    pub winkernel: Winkernel,
    pub detect_local_mode: String,
    pub detect_local: DetectLocal,
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    pub node_port_addresses: Vec<String>,
    pub oom_score_adj: i32,
    pub conntrack: Conntrack,
    pub config_sync_period: GoDuration,
    pub port_range: String,
    pub windows_run_as_service: bool,
}

/// `clientConnection`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientConnection {
    pub kubeconfig: String,
    pub accept_content_types: String,
    pub content_type: String,
    pub qps: f64,
    pub burst: i32,
}

/// `logging`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Logging {
    pub format: String,
    /// A duration, or a number of nanoseconds.
    pub flush_frequency: Value,
    pub verbosity: i32,
    pub vmodule: Value,
    pub options: LogOptions,
}

/// `logging.options`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogOptions {
    pub text: LogOutput,
    pub json: LogOutput,
}

/// `logging.options.text` and `logging.options.json`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogOutput {
    pub split_stream: bool,
    /// A quantity, as text or number.
    pub info_buffer_size: Value,
}

/// `iptables`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpTables {
    pub masquerade_bit: i32,
    pub masquerade_all: bool,
    pub localhost_node_ports: bool,
    #[serde(rename = "snatNodeInternalIP")]
    pub snat_node_internal_ip: bool,
    pub sync_period: GoDuration,
    pub min_sync_period: GoDuration,
}

/// `ipvs`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ipvs {
    pub sync_period: GoDuration,
    pub min_sync_period: GoDuration,
    pub scheduler: String,
    #[serde(rename = "excludeCIDRs")]
    pub exclude_cidrs: Vec<String>,
    #[serde(rename = "strictARP")]
    pub strict_arp: bool,
    pub tcp_timeout: GoDuration,
    pub tcp_fin_timeout: GoDuration,
    pub udp_timeout: GoDuration,
}

/// `nftables`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NfTables {
    pub masquerade_bit: i32,
    pub masquerade_all: bool,
    pub sync_period: GoDuration,
    pub min_sync_period: GoDuration,
}

/// `winkernel`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Winkernel {
    pub network_name: String,
    pub source_vip: String,
    #[serde(rename = "enableDSR")]
    pub enable_dsr: bool,
    pub root_hns_endpoint_name: String,
    pub forward_health_check_vip: bool,
}

/// `detectLocal`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DetectLocal {
    pub bridge_interface: String,
    pub interface_name_prefix: String,
}

/// `conntrack`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Conntrack {
    pub max_per_core: i32,
    pub min: i32,
    pub tcp_established_timeout: GoDuration,
    pub tcp_close_wait_timeout: GoDuration,
    pub tcp_be_liberal: bool,
    pub udp_timeout: GoDuration,
    pub udp_stream_timeout: GoDuration,
}

impl KubeProxyConfiguration {
    /// Puts defaults where Go's zero stands for them. Numbers of `conntrack`, `oomScoreAdj` and
    /// `masqueradeBit` are not among them: their zero is a value.
    pub(super) fn fill_in(&mut self) {
        let default = Self::default();
        let Self {
            client_connection: client,
            iptables,
            nftables,
            ipvs,
            ..
        } = self;
        for (text, default) in [
            (
                &mut client.content_type,
                default.client_connection.content_type,
            ),
            (&mut self.logging.format, default.logging.format),
            (&mut self.bind_address, default.bind_address),
        ] {
            if text.is_empty() {
                *text = default;
            }
        }
        for (period, default) in [
            (&mut iptables.sync_period, default.iptables.sync_period),
            (
                &mut iptables.min_sync_period,
                default.iptables.min_sync_period,
            ),
            (&mut nftables.sync_period, default.nftables.sync_period),
            (
                &mut nftables.min_sync_period,
                default.nftables.min_sync_period,
            ),
            (&mut ipvs.sync_period, default.ipvs.sync_period),
            (&mut self.config_sync_period, default.config_sync_period),
        ] {
            if period.is_zero() {
                *period = default;
            }
        }
        if client.qps == 0.0 {
            client.qps = default.client_connection.qps;
        }
        if client.burst == 0 {
            client.burst = default.client_connection.burst;
        }
        if matches!(&self.logging.flush_frequency, Value::Number(zero) if zero.as_f64() == Some(0.0))
        {
            self.logging.flush_frequency = default.logging.flush_frequency;
        }
        self.fill_in_bind_addresses();
    }

    /// The servers listen in the family of `bindAddress`.
    fn fill_in_bind_addresses(&mut self) {
        let is_v6 = self.bind_address.contains(':');
        let (every, own) = if is_v6 {
            ("[::]", "[::1]")
        } else {
            ("0.0.0.0", "127.0.0.1")
        };
        if self.healthz_bind_address.is_empty() {
            self.healthz_bind_address = format!("{every}:{HEALTHZ_PORT}");
        }
        if self.metrics_bind_address.is_empty() {
            self.metrics_bind_address = format!("{own}:{METRICS_PORT}");
        }
    }
}

/// What an absent field stands for. Absent addresses follow `bindAddress`, see `fill_in`.
impl Default for KubeProxyConfiguration {
    fn default() -> Self {
        Self {
            feature_gates: BTreeMap::new(),
            client_connection: ClientConnection::default(),
            logging: Logging::default(),
            hostname_override: String::new(),
            bind_address: "0.0.0.0".to_owned(),
            healthz_bind_address: String::new(),
            metrics_bind_address: String::new(),
            bind_address_hard_fail: false,
            enable_profiling: false,
            show_hidden_metrics_for_version: String::new(),
            mode: String::new(),
            iptables: IpTables::default(),
            ipvs: Ipvs::default(),
            nftables: NfTables::default(),
            winkernel: Winkernel::default(),
            detect_local_mode: String::new(),
            detect_local: DetectLocal::default(),
            cluster_cidr: String::new(),
            node_port_addresses: Vec::new(),
            oom_score_adj: -999,
            conntrack: Conntrack::default(),
            config_sync_period: GoDuration::from_secs(15 * 60),
            port_range: String::new(),
            windows_run_as_service: false,
        }
    }
}

impl Default for ClientConnection {
    fn default() -> Self {
        Self {
            kubeconfig: String::new(),
            accept_content_types: String::new(),
            content_type: "application/vnd.kubernetes.protobuf".to_owned(),
            qps: 5.0,
            burst: 10,
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            format: "text".to_owned(),
            flush_frequency: "5s".into(),
            verbosity: 0,
            vmodule: Value::Array(Vec::new()),
            options: LogOptions::default(),
        }
    }
}

impl Default for LogOutput {
    fn default() -> Self {
        Self {
            split_stream: false,
            info_buffer_size: "0".into(),
        }
    }
}

impl Default for IpTables {
    fn default() -> Self {
        Self {
            masquerade_bit: 14,
            masquerade_all: false,
            localhost_node_ports: true,
            snat_node_internal_ip: false,
            sync_period: GoDuration::from_secs(30),
            min_sync_period: GoDuration::from_secs(1),
        }
    }
}

impl Default for Ipvs {
    fn default() -> Self {
        Self {
            sync_period: GoDuration::from_secs(30),
            min_sync_period: GoDuration::default(),
            scheduler: String::new(),
            exclude_cidrs: Vec::new(),
            strict_arp: false,
            tcp_timeout: GoDuration::default(),
            tcp_fin_timeout: GoDuration::default(),
            udp_timeout: GoDuration::default(),
        }
    }
}

impl Default for NfTables {
    fn default() -> Self {
        Self {
            masquerade_bit: 14,
            masquerade_all: false,
            sync_period: GoDuration::from_secs(30),
            min_sync_period: GoDuration::from_secs(1),
        }
    }
}

impl Default for Conntrack {
    fn default() -> Self {
        Self {
            max_per_core: 32 * 1024,
            min: 128 * 1024,
            tcp_established_timeout: GoDuration::from_secs(24 * 3600),
            tcp_close_wait_timeout: GoDuration::from_secs(3600),
            tcp_be_liberal: false,
            udp_timeout: GoDuration::default(),
            udp_stream_timeout: GoDuration::default(),
        }
    }
}
