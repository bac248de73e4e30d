//! What has a meaning here acts.

use std::net::IpAddr;

use super::*;
use crate::datapath::AttachMode;
use crate::settings::{LocalPods, Masquerade, NodePortAddresses};
use crate::source::Source;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn node_ports(fields: &str) -> NodePortAddresses {
    with(fields).settings.node_port_addresses
}

fn local_pods(fields: &str) -> LocalPods {
    with(fields).settings.local_pods
}

#[test]
fn node_ports_answer_where_the_list_says() {
    let chosen = |primary, localhost, all, networks: &[&str]| NodePortAddresses {
        primary,
        localhost,
        all,
        networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
    };
    for (list, expected) in [
        ("[]", chosen(true, true, false, &[])),
        ("null", chosen(true, true, false, &[])),
        ("[primary]", chosen(true, false, false, &[])),
        ("[localhost]", chosen(false, true, false, &[])),
        ("[primary, localhost]", chosen(true, true, false, &[])),
        ("[all]", chosen(false, true, true, &[])),
        (
            "[192.0.2.7/24, primary]",
            chosen(true, false, false, &["192.0.2.0/24"]),
        ),
        (
            "[127.0.0.0/8]",
            chosen(false, true, false, &["127.0.0.0/8"]),
        ),
        ("[0.0.0.0/0]", chosen(false, true, false, &["0.0.0.0/0"])),
        ("['::/0']", chosen(false, true, false, &["::/0"])),
        (
            "['2001:db8::/32']",
            chosen(false, false, false, &["2001:db8::/32"]),
        ),
    ] {
        assert_eq!(
            node_ports(&format!("nodePortAddresses: {list}\n")),
            expected,
            "{list}"
        );
    }
}

#[test]
fn localhost_node_ports_can_be_turned_off_but_for_who_asks_by_name() {
    let off = "iptables: {localhostNodePorts: false}\n";

    assert!(!node_ports(off).localhost);
    assert!(node_ports(off).primary);
    assert!(!node_ports(&format!("{off}nodePortAddresses: [all]\n")).localhost);
    assert!(node_ports(&format!("{off}nodePortAddresses: [localhost]\n")).localhost);
}

#[test]
fn pods_are_known_by_their_devices_unless_a_mode_is_chosen() {
    let networks = |texts: &[&str]| {
        LocalPods::Networks(texts.iter().map(|text| text.parse().unwrap()).collect())
    };
    for (fields, expected) in [
        ("", LocalPods::Device),
        ("clusterCIDR: 10.244.0.0/16\n", LocalPods::Device),
        ("detectLocalMode: ClusterCIDR\n", LocalPods::Nobody),
        (
            "detectLocalMode: ClusterCIDR\nclusterCIDR: 10.244.0.0/16\n",
            networks(&["10.244.0.0/16"]),
        ),
        (
            "detectLocalMode: ClusterCIDR\nclusterCIDR: 'fd00::1/56, 10.244.0.0/16'\n",
            networks(&["fd00::/56", "10.244.0.0/16"]),
        ),
        ("detectLocalMode: NodeCIDR\n", LocalPods::NodeCidrs),
        (
            "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}\n",
            LocalPods::Bridge("cni0".to_owned()),
        ),
        (
            "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}\n",
            LocalPods::NamePrefix("veth".to_owned()),
        ),
    ] {
        assert_eq!(local_pods(fields), expected, "{fields}");
    }
}

#[test]
fn masquerading_all_is_said_in_either_section_and_netproxys_own_word_goes_first() {
    let masquerade = |fields: &str| with(fields).settings.masquerade;

    assert_eq!(masquerade(""), Masquerade::Needed);
    assert_eq!(
        masquerade("iptables: {masqueradeAll: true}\n"),
        Masquerade::All
    );
    assert_eq!(
        masquerade("nftables: {masqueradeAll: true}\n"),
        Masquerade::All
    );
    assert_eq!(
        masquerade(&format!(
            "iptables: {{masqueradeAll: true}}\n{OWN_HEAD}masquerade: external\n"
        )),
        Masquerade::External
    );
}

#[test]
fn the_bind_address_takes_the_nodes_place_and_chooses_the_servers_family() {
    let v4 = with("bindAddress: 192.0.2.1\n");
    let v6 = with("bindAddress: '2001:db8::1'\n");
    let none = with("bindAddress: '::'\n");

    assert_eq!(v4.settings.node_ips, [ip("192.0.2.1")]);
    assert_eq!(v4.serve, ServeSettings::default());
    assert_eq!(v6.settings.node_ips, [ip("2001:db8::1")]);
    let healthz = v6.serve.healthz_bind_address.unwrap();
    let metrics = v6.serve.metrics_bind_address.unwrap();
    assert_eq!(healthz.to_string(), "[::]:10256");
    assert_eq!(metrics.to_string(), "[::1]:10249");
    assert!(none.settings.node_ips.is_empty());
    assert_eq!(none.serve.healthz_bind_address.unwrap(), healthz);
}

#[test]
fn an_address_without_a_port_gets_the_servers_own() {
    let config = with("healthzBindAddress: '::1'\nmetricsBindAddress: 192.0.2.1:9\n");

    let healthz = config.serve.healthz_bind_address.unwrap();
    let metrics = config.serve.metrics_bind_address.unwrap();
    assert_eq!(healthz.to_string(), "[::1]:10256");
    assert_eq!(metrics.to_string(), "192.0.2.1:9");
}

#[test]
fn the_sync_period_is_that_of_the_mode() {
    let period_s = |mode: &str| {
        let fields = format!(
            "mode: '{mode}'\niptables: {{syncPeriod: 10s}}\nipvs: {{syncPeriod: 20s}}\n\
             nftables: {{syncPeriod: 1m}}\n"
        );
        with(&fields).serve.sync_period.as_secs()
    };

    assert_eq!(with("").serve.sync_period.as_secs(), 30);
    assert_eq!(period_s(""), 10);
    assert_eq!(period_s("iptables"), 10);
    assert_eq!(period_s("ipvs"), 20);
    assert_eq!(period_s("nftables"), 60);
    assert_eq!(period_s("a mode of tomorrow"), 10);
}

#[test]
fn external_ips_are_served_unless_their_gate_is_closed() {
    let serves = |gates: &str| {
        let config = with(&format!("featureGates: {gates}\n"));
        (
            config.settings.serves_external_ips,
            config.notices.meaningless,
        )
    };

    assert_eq!(serves("{}"), (true, None));
    assert_eq!(serves("{AllowServiceExternalIPs: true}"), (true, None));
    assert_eq!(serves("{AllowServiceExternalIPs: false}"), (false, None));
    let (serves, named) = serves("{KubeProxyIPVS: false, AllowServiceExternalIPs: null}");
    assert!(serves);
    assert_eq!(
        named.as_deref(),
        Some("featureGates.KubeProxyIPVS (no such feature gate in netproxy)")
    );
}

#[test]
fn a_node_name_is_trimmed_and_in_lower_case() {
    let config = with("hostnameOverride: ' Worker-1 '\n");

    assert_eq!(config.node_name.as_deref(), Some("worker-1"));
}

#[test]
fn netproxys_own_document_holds_what_its_flags_do() {
    let fields = format!(
        "{OWN_HEAD}source: manifests:/etc/objects\nserver: https://192.0.2.1:6443\n\
         devices: [eth*, veth*]\nexcludedDevices: [docker0]\nattach: clsact\n\
         mapSizes: {{FLOWS_V4: 1024}}\ncgroup: /sys/fs/cgroup\nflowsMax: 1000\n\
         metricsObjectsMax: 0\n"
    );

    let own = with(&fields).own;

    assert_eq!(own.source, Some(Source::Manifests("/etc/objects".into())));
    assert_eq!(own.server.as_deref(), Some("https://192.0.2.1:6443"));
    assert_eq!(own.devices, ["eth*", "veth*"]);
    assert_eq!(own.excluded_devices, ["docker0"]);
    assert_eq!(own.attach, Some(AttachMode::Clsact));
    assert_eq!(own.map_sizes, ["FLOWS_V4=1024".parse().unwrap()]);
    assert_eq!(own.flows_max, "1000".parse().ok());
    assert_eq!(own.metrics_objects_max, Some(0));
    assert_eq!(own.cgroup.as_deref(), Some(Path::new("/sys/fs/cgroup")));
}
