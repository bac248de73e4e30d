//! Wrong files, each with exactly what is said about it.

use super::*;

/// Fields, and what is said about them.
const WRONG: &[(&str, &str)] = &[
    (
        "oomScoreAdj: low",
        r#"oomScoreAdj: "low": must be a whole number of 32 bits"#,
    ),
    (
        "oomScoreAdj: 99999999999",
        "oomScoreAdj: 99999999999: must be a whole number of 32 bits",
    ),
    (
        "oomScoreAdj: -1001",
        "oomScoreAdj: -1001: must be from -1000 to 1000",
    ),
    (
        "enableProfiling: 1",
        "enableProfiling: 1: must be true or false",
    ),
    (
        "clusterCIDR: 10",
        "clusterCIDR: 10: must be a text; put it in quotes",
    ),
    ("iptables: fast", r#"iptables: "fast": must be a mapping"#),
    (
        "nodePortAddresses: primary",
        r#"nodePortAddresses: "primary": must be a list of texts"#,
    ),
    (
        "configSyncPeriod: 15",
        "configSyncPeriod: 15: must be a duration like 30s, 1h30m or 250ms",
    ),
    (
        "configSyncPeriod: -1s",
        r#"configSyncPeriod: "-1s": must not be negative"#,
    ),
    (
        "clientConnection: {qps: much}",
        r#"clientConnection.qps: "much": must be a number"#,
    ),
    (
        "clientConnection: {burst: -1}",
        "clientConnection.burst: -1: must not be negative",
    ),
    (
        "featureGates: {AllAlpha: 1}",
        r#"featureGates: {"AllAlpha":1}: must be a mapping of names to true or false"#,
    ),
    (
        "logging: {format: xml}",
        r#"logging.format: "xml": must be text or json"#,
    ),
    (
        "logging: {verbosity: -1}",
        "logging.verbosity: -1: must not be negative",
    ),
    (
        "hostnameOverride: '  '",
        r#"hostnameOverride: "  ": must not be blank; leave it out to use the host name"#,
    ),
    (
        "bindAddress: localhost",
        r#"bindAddress: "localhost": must be an IP address, for example 192.0.2.1 or 0.0.0.0"#,
    ),
    (
        "healthzBindAddress: ':10256'",
        "healthzBindAddress: \":10256\": must be IP or IP:PORT with a port from 1 to 65535, \
             for example 0.0.0.0:10256",
    ),
    (
        "metricsBindAddress: 127.0.0.1:0",
        "metricsBindAddress: \"127.0.0.1:0\": must be IP or IP:PORT with a port from 1 to 65535, \
             for example 0.0.0.0:10249",
    ),
    (
        "iptables: {masqueradeBit: 32}",
        "iptables.masqueradeBit: 32: must be from 0 to 31",
    ),
    (
        "nftables: {masqueradeBit: -1}",
        "nftables.masqueradeBit: -1: must be from 0 to 31",
    ),
    (
        "iptables: {syncPeriod: -1s}",
        r#"iptables.syncPeriod: "-1s": must be greater than 0"#,
    ),
    (
        "iptables: {minSyncPeriod: -1s}",
        r#"iptables.minSyncPeriod: "-1s": must not be negative"#,
    ),
    (
        "iptables: {syncPeriod: 1s, minSyncPeriod: 1m}",
        "iptables.syncPeriod: \"1s\": must not be less than iptables.minSyncPeriod, which is \
             1m0s",
    ),
    (
        "mode: ipvs\nipvs: {minSyncPeriod: 31s}",
        "ipvs.syncPeriod: must not be less than ipvs.minSyncPeriod, which is 31s",
    ),
    (
        "mode: nftables\nnftables: {syncPeriod: 500ms}",
        "nftables.syncPeriod: \"500ms\": must not be less than nftables.minSyncPeriod, which \
             is 1s",
    ),
    (
        "conntrack: {min: -1}",
        "conntrack.min: -1: must not be negative",
    ),
    (
        "conntrack: {maxPerCore: -1}",
        "conntrack.maxPerCore: -1: must not be negative",
    ),
    (
        "conntrack: {udpTimeout: -1s}",
        r#"conntrack.udpTimeout: "-1s": must not be negative"#,
    ),
    (
        "clusterCIDR: 10.244.0.0/16,10.245.0.0/16",
        "clusterCIDR: \"10.244.0.0/16,10.245.0.0/16\": must be a network like 10.244.0.0/16, \
             or one of each family like 10.244.0.0/16,fd00:10:244::/56",
    ),
    (
        "clusterCIDR: 10.244.0.0",
        "clusterCIDR: \"10.244.0.0\": must be a network like 10.244.0.0/16, or one of each \
             family like 10.244.0.0/16,fd00:10:244::/56",
    ),
    (
        "nodePortAddresses: [primary, eth0]",
        "nodePortAddresses[1]: \"eth0\": must be a network like 192.0.2.0/24, or primary, \
             localhost or all",
    ),
    (
        "detectLocalMode: clustercidr",
        "detectLocalMode: \"clustercidr\": must be ClusterCIDR, NodeCIDR, BridgeInterface or \
             InterfaceNamePrefix, or empty",
    ),
    (
        "detectLocalMode: BridgeInterface",
        "detectLocal.bridgeInterface: is required by this detectLocalMode",
    ),
    (
        "detectLocalMode: InterfaceNamePrefix",
        "detectLocal.interfaceNamePrefix: is required by this detectLocalMode",
    ),
    (
        "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: a-name-of-16byte}",
        "detectLocal.bridgeInterface: \"a-name-of-16byte\": must be the name of a device: at \
             most 15 bytes, no slash, no space",
    ),
];

#[test]
fn what_is_wrong_is_refused_with_path_value_and_reason() {
    for (fields, error) in WRONG {
        let told = wrong(&format!("{HEAD}{fields}\n"));

        assert_eq!(told, format!("configuration /etc/kp.yaml: {error}"));
    }
}

#[test]
fn netproxys_own_document_is_read_strictly() {
    for (fields, error) in [
        (
            "source: nowhere",
            "source: \"nowhere\": unknown source \"nowhere\": use `kubernetes`, or `manifests:DIR`",
        ),
        (
            "attach: xdp",
            r#"attach: "xdp": must be one of auto, tcx, clsact"#,
        ),
        (
            "masquerade: never",
            r#"masquerade: "never": must be one of needed, external, all"#,
        ),
        (
            "externalBalancing: fair",
            r#"externalBalancing: "fair": must be one of random, consistent"#,
        ),
        (
            "socketBalancing: never",
            r#"socketBalancing: "never": must be one of all, host-only, off"#,
        ),
        (
            "socketOptOut: often",
            r#"socketOptOut: "often": must be true or false"#,
        ),
        (
            "devices: eth0",
            r#"devices: "eth0": must be a list of texts"#,
        ),
        (
            "mapSizes: {FLOWS_V4: 0}",
            "mapSizes.FLOWS_V4: 0: `0` is no number of entries from 1 to 16777216",
        ),
        (
            "flowsMax: 0",
            "flowsMax: 0: `0` is no number of flows from 1 to 8388608",
        ),
        (
            "mapSizes: {FLOWS_V4: many}",
            r#"mapSizes: {"FLOWS_V4":"many"}: must be a mapping of names to whole numbers"#,
        ),
        (
            "device: [eth0]",
            "device: NetproxyConfiguration has no such field; it has source, server, devices, \
             excludedDevices, attach, xdp, mapSizes, cgroup, masquerade, externalBalancing, \
             socketBalancing, terminateUdp, terminateTcp, socketOptOut, flowsMax, \
             metricsObjectsMax",
        ),
    ] {
        let told = wrong(&format!("{OWN_HEAD}{fields}\n"));

        assert_eq!(told, format!("configuration /etc/kp.yaml: {error}"));
    }
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    let text = format!(
        "{HEAD}oomScoreAdj: low\nbindAddress: here\niptables: {{syncPeriod: -1s}}\n\
         {OWN_HEAD}attach: xdp\n"
    );

    let told = wrong(&text);

    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "configuration /etc/kp.yaml: 4 settings are wrong",
            r#"  oomScoreAdj: "low": must be a whole number of 32 bits"#,
            r#"  attach: "xdp": must be one of auto, tcx, clsact"#,
            r#"  bindAddress: "here": must be an IP address, for example 192.0.2.1 or 0.0.0.0"#,
            r#"  iptables.syncPeriod: "-1s": must be greater than 0"#,
        ]
    );
}
