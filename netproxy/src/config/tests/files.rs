//! Files as they are found: kubeadm's, older ones, broken ones.

use proptest::prelude::*;

use super::*;
use crate::settings::{LocalPods, Masquerade};

/// As kubeadm writes it into the `ConfigMap` of Kubernetes 1.33, for a cluster of both families.
const KUBEADM: &str = r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16,fd00:10:244::/56
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
"#;

#[test]
fn kubeadms_file_changes_nothing_and_makes_no_noise() {
    let file = file(KUBEADM).unwrap();

    let config = Configuration::new(Some(&file), Vec::new()).unwrap();

    assert_eq!(config.notices, Notices::default());
    assert_eq!(config.settings, Settings::default());
    assert_eq!(config.serve, ServeSettings::default());
    assert_eq!(config.node_name, None);
    assert_eq!(
        config.kube_proxy.client_connection.kubeconfig,
        "/var/lib/kube-proxy/kubeconfig.conf"
    );
}

#[test]
fn older_and_adapted_files_of_kubeadm_make_no_noise() {
    // Until 1.25 there was this field.
    let older = KUBEADM.replace("winkernel:", "udpIdleTimeout: 0s\nwinkernel:");
    // So does kind change it.
    let kind = KUBEADM
        .replace("maxPerCore: null", "maxPerCore: 0")
        .replacen("minSyncPeriod: 0s", "minSyncPeriod: 1s", 1)
        .replace("mode: \"\"", "mode: iptables");

    for text in [older, kind] {
        let config = Configuration::new(Some(&file(&text).unwrap()), Vec::new()).unwrap();

        assert_eq!(config.notices, Notices::default());
        assert_eq!(config.settings, Settings::default());
    }
}

#[test]
fn an_unknown_field_is_ignored_and_named() {
    let config = with("iptables:\n  masqueradeAll: true\n  masqueradeBits: 3\nbindAdress: ::1\n");

    assert_eq!(
        config.notices.unknown.as_deref(),
        Some("bindAdress, iptables.masqueradeBits")
    );
    assert_eq!(config.settings.masquerade, Masquerade::All);
}

#[test]
fn of_equal_names_the_last_counts_and_it_is_said() {
    let config = with("bindAddress: 192.0.2.1\nbindAddress: 192.0.2.2\n");

    assert_eq!(config.kube_proxy.bind_address, "192.0.2.2");
    let reason = config.notices.doubled.unwrap();
    assert!(reason.contains("line 4"), "{reason}");
    assert!(reason.contains("bindAddress"), "{reason}");
}

#[test]
fn json_is_a_configuration_too() {
    let text = r#"{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration", "detectLocalMode": "NodeCIDR"}"#;

    let config = Configuration::new(Some(&file(text).unwrap()), Vec::new()).unwrap();

    assert_eq!(config.settings.local_pods, LocalPods::NodeCidrs);
}

#[test]
fn documents_that_are_none_of_the_two_are_refused() {
    for (text, reason) in [
        (
            String::new(),
            "empty; give it `apiVersion: kubeproxy.config.k8s.io/v1alpha1` and",
        ),
        ("- a\n".to_owned(), "a document is no mapping"),
        (
            "mode: ipvs\n".to_owned(),
            "apiVersion \"\" with kind \"\" is not known; give it",
        ),
        (
            HEAD.replace("v1alpha1", "v1alpha2"),
            "apiVersion \"kubeproxy.config.k8s.io/v1alpha2\" with kind \
             \"KubeProxyConfiguration\" is not known; give it",
        ),
        (
            format!("{HEAD}---\n{HEAD}"),
            "KubeProxyConfiguration stands in it twice; keep one",
        ),
        (format!("{HEAD}mode: [\n"), "line 3, column 7: "),
    ] {
        let error = wrong(&text);

        let start = format!("configuration /etc/kp.yaml: {reason}");
        assert!(error.starts_with(&start), "{error}");
    }
    let error = ConfigFile::parse(Path::new("x"), vec![0xff]).unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[test]
fn what_is_written_says_the_same_when_it_is_read() {
    let fields = format!(
        "mode: nftables\nnodePortAddresses: [primary, 192.0.2.0/24]\nbindAddress: '2001:db8::1'\n\
         featureGates: {{AllowServiceExternalIPs: false}}\n{OWN_HEAD}\
         devices: [eth*]\nmapSizes: {{FLOWS_V4: 1024}}\nmasquerade: external\n"
    );
    let config = with(&fields);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("written.yaml");

    config.write(&path).unwrap();
    let read = Configuration::new(Some(&ConfigFile::read(&path).unwrap()), Vec::new()).unwrap();

    assert_eq!(read.notices, Notices::default());
    assert_eq!(read.kube_proxy, config.kube_proxy);
    assert_eq!(read.settings, config.settings);
    assert_eq!(read.serve, config.serve);
    assert_eq!(read.own.devices, ["eth*"]);
    assert_eq!(read.own.map_sizes, config.own.map_sizes);
}

#[test]
fn a_file_that_cannot_be_read_or_written_is_named() {
    let absent = ConfigFile::read(Path::new("/nowhere/kp.yaml")).unwrap_err();
    let unwritable = with("").write(Path::new("/nowhere/kp.yaml")).unwrap_err();

    assert!(
        absent
            .to_string()
            .starts_with("configuration /nowhere/kp.yaml: ")
    );
    assert!(
        unwritable
            .to_string()
            .starts_with("configuration /nowhere/kp.yaml cannot be written: ")
    );
}

proptest! {
    #[test]
    fn no_content_is_too_strange(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = ConfigFile::parse(Path::new("x"), content);
    }

    #[test]
    fn no_values_are_too_strange(
        index in 0..KUBE_PROXY_FIELDS.len(),
        value in "[-:/.,0-9a-z\\[\\]{} ]{0,20}",
    ) {
        let path = KUBE_PROXY_FIELDS[index].path;
        let line = fields::set(path, &value);
        if let Ok(file) = file(&format!("{HEAD}{line}")) {
            let _ = Configuration::new(Some(&file), Vec::new());
        }
    }
}
