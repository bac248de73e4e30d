//! The table of kube-proxy's fields, in the order of its API.

use super::super::field::Role::{Acts, If, Nothing, Quiet};
use super::super::field::{Field, Kind, Role};
use super::super::kube_proxy::KubeProxyConfiguration;

const CLIENT: &str = "netproxy keeps a few watches open and asks for little else";
const CONNTRACK: &str =
    "netproxy has a flow table of its own, and leaves the kernel's connection tracking alone";
const IPVS: &str = "netproxy does not use IPVS";
const LOG: &str = "netproxy's log has no such choice";
const MARKS: &str = "netproxy marks no packets";
const AT_ONCE: &str = "changes are applied at once";
const PERIOD: &str =
    "in its mode: the agent is unhealthy when a change has waited for twice as long";
const WINDOWS: &str = "Windows only";
const RETIRED: &str = "retired by kube-proxy itself";

/// Every field of `KubeProxyConfiguration`.
#[rustfmt::skip]
pub const KUBE_PROXY_FIELDS: &[Field] = &[
    row("featureGates", "feature-gates", Kind::Gates, Acts,
        "`AllowServiceExternalIPs=false` ignores `spec.externalIPs`; other gates mean nothing here"),
    row("clientConnection.kubeconfig", "kubeconfig", Kind::Text, Acts,
        "kubeconfig file for the API server; without it the pod's service account"),
    row("clientConnection.acceptContentTypes", "", Kind::Text, Nothing, CLIENT),
    row("clientConnection.contentType", "kube-api-content-type", Kind::Text, Nothing, CLIENT),
    row("clientConnection.qps", "kube-api-qps", Kind::Number, Nothing, CLIENT),
    row("clientConnection.burst", "kube-api-burst", Kind::Integer, Nothing, CLIENT),
    row("logging.format", "logging-format", Kind::Text, Acts,
        "`text` or `json`, unless --log-format says otherwise"),
    row("logging.flushFrequency", "log-flush-frequency", Kind::Any, Nothing, LOG),
    row("logging.verbosity", "v", Kind::Integer, Acts,
        "how much to log: 4 is debug, 5 and more trace; NETPROXY_LOG in the environment goes first"),
    row("logging.vmodule", "vmodule", Kind::Any, Nothing, LOG),
    row("logging.options.text.splitStream", "log-text-split-stream", Kind::Bool, Nothing, LOG),
    row("logging.options.text.infoBufferSize", "log-text-info-buffer-size", Kind::Any, Nothing, LOG),
    row("logging.options.json.splitStream", "log-json-split-stream", Kind::Bool, Nothing, LOG),
    row("logging.options.json.infoBufferSize", "log-json-info-buffer-size", Kind::Any, Nothing, LOG),
    row("hostnameOverride", "hostname-override", Kind::Text, Acts,
        "name of this node's Node object; without it the host name, in lower case"),
    row("bindAddress", "bind-address", Kind::Text, Acts,
        "takes the place of the Node object's address; 0.0.0.0 and :: do not. No socket is bound to it"),
    row("healthzBindAddress", "healthz-bind-address", Kind::Text, Acts,
        "where the health server listens, IP or IP:PORT; the empty flag turns it off"),
    row("metricsBindAddress", "metrics-bind-address", Kind::Text, Acts,
        "where the metrics server listens, IP or IP:PORT; the empty flag turns it off"),
    row("bindAddressHardFail", "bind-address-hard-fail", Kind::Bool, Acts,
        "end if a server cannot listen, instead of trying again"),
    row("enableProfiling", "profiling", Kind::Bool, Nothing, "there is no profiling handler"),
    row("showHiddenMetricsForVersion", "show-hidden-metrics-for-version", Kind::Text, Nothing,
        "no metric is hidden"),
    row("mode", "proxy-mode", Kind::Text, Quiet,
        "any value is accepted, the mode is always eBPF; it tells which section's `syncPeriod` acts"),
    row("iptables.masqueradeBit", "iptables-masquerade-bit", Kind::Integer, Nothing, MARKS),
    row("iptables.masqueradeAll", "masquerade-all", Kind::Bool, Acts,
        "hide every client of a cluster IP behind the node, as `masquerade: all`"),
    row("iptables.localhostNodePorts", "iptables-localhost-nodeports", Kind::Bool, Acts,
        "false: NodePorts answer on localhost only if `nodePortAddresses` says `localhost`"),
    row("iptables.snatNodeInternalIP", "", Kind::Bool, Nothing,
        "the route to the endpoint chooses the address that clients are hidden behind"),
    row("iptables.syncPeriod", "iptables-sync-period", Kind::Duration, If(is_iptables), PERIOD),
    row("iptables.minSyncPeriod", "iptables-min-sync-period", Kind::Duration, Nothing, AT_ONCE),
    row("ipvs.syncPeriod", "ipvs-sync-period", Kind::Duration, If(is_ipvs), PERIOD),
    row("ipvs.minSyncPeriod", "ipvs-min-sync-period", Kind::Duration, Nothing, AT_ONCE),
    row("ipvs.scheduler", "ipvs-scheduler", Kind::Text, Nothing, IPVS),
    row("ipvs.excludeCIDRs", "ipvs-exclude-cidrs", Kind::List, Nothing, IPVS),
    row("ipvs.strictARP", "ipvs-strict-arp", Kind::Bool, Nothing, IPVS),
    row("ipvs.tcpTimeout", "ipvs-tcp-timeout", Kind::Duration, Nothing, IPVS),
    row("ipvs.tcpFinTimeout", "ipvs-tcpfin-timeout", Kind::Duration, Nothing, IPVS),
    row("ipvs.udpTimeout", "ipvs-udp-timeout", Kind::Duration, Nothing, IPVS),
    row("nftables.masqueradeBit", "", Kind::Integer, Nothing, MARKS),
    row("nftables.masqueradeAll", "", Kind::Bool, Acts, "as `iptables.masqueradeAll`"),
    row("nftables.syncPeriod", "", Kind::Duration, If(is_nftables), PERIOD),
    row("nftables.minSyncPeriod", "", Kind::Duration, Nothing, AT_ONCE),
    row("winkernel.networkName", "", Kind::Text, Nothing, WINDOWS),
    row("winkernel.sourceVip", "", Kind::Text, Nothing, WINDOWS),
    row("winkernel.enableDSR", "", Kind::Bool, Nothing, WINDOWS),
    row("winkernel.rootHnsEndpointName", "", Kind::Text, Nothing, WINDOWS),
    row("winkernel.forwardHealthCheckVip", "", Kind::Bool, Nothing, WINDOWS),
    row("detectLocalMode", "detect-local-mode", Kind::Text, Acts,
        "how this node's pods are known: empty (by their devices), ClusterCIDR, NodeCIDR, \
         BridgeInterface or InterfaceNamePrefix"),
    row("detectLocal.bridgeInterface", "pod-bridge-interface", Kind::Text, If(is_by_bridge),
        "with BridgeInterface: the bridge that pods are ports of"),
    row("detectLocal.interfaceNamePrefix", "pod-interface-name-prefix", Kind::Text, If(is_by_prefix),
        "with InterfaceNamePrefix: what the names of pods' devices begin with"),
    row("clusterCIDR", "cluster-cidr", Kind::Text, Acts,
        "with ClusterCIDR: the pods' network, or one of each family with a comma between; else not needed"),
    row("nodePortAddresses", "nodeport-addresses", Kind::List, Acts,
        "where NodePorts answer: networks, `primary` (the Node object's addresses), `localhost`, `all`; \
         empty: primary and localhost"),
    row("oomScoreAdj", "oom-score-adj", Kind::Integer, Nothing,
        "netproxy keeps what the container runtime or systemd set"),
    row("conntrack.maxPerCore", "conntrack-max-per-core", Kind::Integer, Nothing, CONNTRACK),
    row("conntrack.min", "conntrack-min", Kind::Integer, Nothing, CONNTRACK),
    row("conntrack.tcpEstablishedTimeout", "conntrack-tcp-timeout-established", Kind::Duration, Nothing, CONNTRACK),
    row("conntrack.tcpCloseWaitTimeout", "conntrack-tcp-timeout-close-wait", Kind::Duration, Nothing, CONNTRACK),
    row("conntrack.tcpBeLiberal", "conntrack-tcp-be-liberal", Kind::Bool, Nothing, CONNTRACK),
    row("conntrack.udpTimeout", "conntrack-udp-timeout", Kind::Duration, Nothing, CONNTRACK),
    row("conntrack.udpStreamTimeout", "conntrack-udp-timeout-stream", Kind::Duration, Nothing, CONNTRACK),
    row("configSyncPeriod", "config-sync-period", Kind::Duration, Quiet,
        "watches are followed without listing again"),
    row("portRange", "", Kind::Text, Nothing, RETIRED),
    row("udpIdleTimeout", "", Kind::Duration, Nothing, RETIRED),
    row("windowsRunAsService", "", Kind::Bool, Nothing, WINDOWS),
];

const fn row(
    path: &'static str,
    flag: &'static str,
    kind: Kind,
    role: Role,
    help: &'static str,
) -> Field {
    Field {
        path,
        flag: if flag.is_empty() { None } else { Some(flag) },
        kind,
        role,
        help,
    }
}

fn is_ipvs(config: &KubeProxyConfiguration) -> bool {
    config.mode == "ipvs"
}

fn is_nftables(config: &KubeProxyConfiguration) -> bool {
    config.mode == "nftables"
}

/// kube-proxy's default mode, and what stands for it.
fn is_iptables(config: &KubeProxyConfiguration) -> bool {
    !is_ipvs(config) && !is_nftables(config)
}

fn is_by_bridge(config: &KubeProxyConfiguration) -> bool {
    config.detect_local_mode == "BridgeInterface"
}

fn is_by_prefix(config: &KubeProxyConfiguration) -> bool {
    config.detect_local_mode == "InterfaceNamePrefix"
}
