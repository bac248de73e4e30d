//! `NetproxyConfiguration` in `netproxy.dev/v1alpha1`: what netproxy has and kube-proxy does not.
//! A second document in the same file; every field may be absent, and flags go first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::check::Check;
use crate::datapath::{AttachMode, FlowsMax, MapSize, XdpMode};
use crate::model::Balancing;
use crate::settings::{Masquerade, SocketBalancing};
use crate::source::Source;

/// The document as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NetproxyConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) devices: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) excluded_devices: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attach: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) xdp: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) map_sizes: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cgroup: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) masquerade: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_balancing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) socket_balancing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) terminate_udp: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) terminate_tcp: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) socket_opt_out: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flows_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metrics_objects_max: Option<u32>,
}

/// What netproxy's own document says.
#[derive(Clone, Debug, Default)]
pub struct OwnSettings {
    /// Where objects come from.
    pub source: Option<Source>,
    /// Address of the API server in place of the configured one.
    pub server: Option<String>,
    /// Patterns of devices to attach to; empty: all that are of use.
    pub devices: Vec<String>,
    /// Patterns of devices never to attach to.
    pub excluded_devices: Vec<String>,
    /// How programs are attached.
    pub attach: Option<AttachMode>,
    /// Where packets are sent on before there is an skb.
    pub xdp: Option<XdpMode>,
    /// Maps of another size than the default.
    pub map_sizes: Vec<MapSize>,
    /// The cgroup v2 directory of this node.
    pub cgroup: Option<PathBuf>,
    /// Which clients are hidden.
    pub masquerade: Option<Masquerade>,
    /// How external clients have endpoints of services that do not say it themselves.
    pub external_balancing: Option<Balancing>,
    /// Which processes are balanced at the socket.
    pub socket_balancing: Option<SocketBalancing>,
    /// Whether connected UDP sockets are ended when their endpoint is gone.
    pub terminate_udp: Option<bool>,
    /// Whether TCP connections are.
    pub terminate_tcp: Option<bool>,
    /// Whether pods may opt out of that.
    pub socket_opt_out: Option<bool>,
    /// How many assured flows of each family there is room for.
    pub flows_max: Option<FlowsMax>,
    /// How many services, endpoints and devices each have metrics of their own.
    pub metrics_objects_max: Option<u32>,
}

impl OwnSettings {
    pub(super) fn new(written: NetproxyConfiguration, check: &mut Check<'_>) -> Self {
        let NetproxyConfiguration {
            source,
            server,
            devices,
            excluded_devices,
            attach,
            xdp,
            map_sizes,
            cgroup,
            masquerade,
            external_balancing,
            socket_balancing,
            terminate_udp,
            terminate_tcp,
            socket_opt_out,
            flows_max,
            metrics_objects_max,
        } = written;
        Self {
            source: source.and_then(|text| {
                let source = text.parse().map_err(|error| format!("{error}"));
                check.result("source", source)
            }),
            server,
            devices,
            excluded_devices,
            attach: attach.and_then(|text| one_of("attach", &text, check)),
            xdp: xdp.and_then(|text| one_of("xdp", &text, check)),
            map_sizes: map_sizes
                .into_iter()
                .filter_map(|(map, entries)| {
                    let size = format!("{map}={entries}").parse();
                    let path = format!("mapSizes.{map}");
                    check.result(&path, size.map_err(|error| format!("{error}")))
                })
                .collect(),
            cgroup,
            masquerade: masquerade.and_then(|text| one_of("masquerade", &text, check)),
            external_balancing: external_balancing
                .and_then(|text| one_of("externalBalancing", &text, check)),
            socket_balancing: socket_balancing
                .and_then(|text| one_of("socketBalancing", &text, check)),
            terminate_udp,
            terminate_tcp,
            socket_opt_out,
            flows_max: flows_max.and_then(|flows| {
                let flows = FlowsMax::new(flows).map_err(|error| format!("{error}"));
                check.result("flowsMax", flows)
            }),
            metrics_objects_max,
        }
    }
}

fn one_of<T: ValueEnum>(path: &str, text: &str, check: &mut Check<'_>) -> Option<T> {
    let result = T::from_str(text, false).map_err(|_| {
        let names: Vec<_> = T::value_variants()
            .iter()
            .filter_map(T::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        format!("must be one of {}", names.join(", "))
    });
    check.result(path, result)
}
