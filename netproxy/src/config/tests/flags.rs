//! kube-proxy's flags, alone and beside a file.

use super::*;
use crate::settings::{LocalPods, Masquerade};

fn flags(given: &[(&str, &str)]) -> Configuration {
    let flags = given.iter().map(|(name, value)| flag(name, value));
    Configuration::new(None, flags.collect()).unwrap()
}

#[test]
fn nothing_given_is_the_default() {
    let config = Configuration::new(None, Vec::new()).unwrap();

    assert_eq!(config.settings, Settings::default());
    assert_eq!(config.serve, ServeSettings::default());
    assert_eq!(config.notices, Notices::default());
}

#[test]
fn flags_stand_for_fields() {
    let config = flags(&[
        ("detect-local-mode", "ClusterCIDR"),
        ("cluster-cidr", "10.244.0.0/16"),
        ("nodeport-addresses", "primary, 192.0.2.0/24"),
        ("nodeport-addresses", "localhost"),
        ("feature-gates", "AllowServiceExternalIPs=false,Other=true"),
        ("masquerade-all", "true"),
        ("bind-address", "192.0.2.1"),
        ("hostname-override", "Worker"),
        ("iptables-sync-period", "10s"),
    ]);

    assert_eq!(
        config.settings.local_pods,
        LocalPods::Networks(vec!["10.244.0.0/16".parse().unwrap()])
    );
    let node_ports = &config.settings.node_port_addresses;
    assert!(node_ports.primary && node_ports.localhost && !node_ports.all);
    assert_eq!(node_ports.networks, ["192.0.2.0/24".parse().unwrap()]);
    assert!(!config.settings.serves_external_ips);
    assert_eq!(config.settings.masquerade, Masquerade::All);
    assert_eq!(config.node_name.as_deref(), Some("worker"));
    assert_eq!(config.serve.sync_period.as_secs(), 10);
    assert_eq!(
        config.notices.meaningless.as_deref(),
        Some("--feature-gates=Other (no such feature gate in netproxy)")
    );
}

#[test]
fn flags_of_the_iptables_mode_hold_in_the_nftables_mode() {
    let config = flags(&[
        ("iptables-sync-period", "10s"),
        ("masquerade-all", "true"),
        ("proxy-mode", "nftables"),
    ]);

    assert_eq!(config.serve.sync_period.as_secs(), 10);
    assert_eq!(config.settings.masquerade, Masquerade::All);
    assert_eq!(config.notices, Notices::default());
}

#[test]
fn an_empty_address_turns_a_server_off_only_as_a_flag() {
    let off = flags(&[("healthz-bind-address", ""), ("metrics-bind-address", "")]);
    let file = with("healthzBindAddress: ''\nmetricsBindAddress: ''\n");

    assert_eq!(off.serve.healthz_bind_address, None);
    assert_eq!(off.serve.metrics_bind_address, None);
    assert_eq!(file.serve, ServeSettings::default());
}

#[test]
fn a_file_overrides_flags_but_for_name_log_and_a_kubeconfig_that_it_lacks() {
    let given = [
        ("hostname-override", "flag"),
        ("v", "4"),
        ("kubeconfig", "/flag"),
        ("masquerade-all", "true"),
        ("oom-score-adj", "-998"),
    ]
    .map(|(name, value)| flag(name, value));
    let silent = file(&format!(
        "{HEAD}hostnameOverride: file\nlogging: {{verbosity: 2}}\n"
    ))
    .unwrap();
    let outspoken = file(&format!("{HEAD}clientConnection: {{kubeconfig: /file}}\n")).unwrap();

    let beside_silent = Configuration::new(Some(&silent), given.to_vec()).unwrap();
    let beside_outspoken = Configuration::new(Some(&outspoken), given.to_vec()).unwrap();

    assert_eq!(beside_silent.node_name.as_deref(), Some("flag"));
    assert_eq!(beside_silent.kube_proxy.logging.verbosity, 4);
    assert_eq!(
        beside_silent.kube_proxy.client_connection.kubeconfig,
        "/flag"
    );
    assert_eq!(beside_silent.settings, Settings::default());
    assert_eq!(
        beside_silent.notices,
        Notices {
            overridden: Some("--masquerade-all, --oom-score-adj".to_owned()),
            ..Notices::default()
        }
    );
    assert_eq!(
        beside_outspoken.kube_proxy.client_connection.kubeconfig,
        "/file"
    );
    assert_eq!(
        beside_outspoken.notices.overridden.as_deref(),
        Some("--kubeconfig, --masquerade-all, --oom-score-adj")
    );
}

#[test]
fn the_environment_beside_a_file_is_nobodys_mistake() {
    let file = file(&format!("{HEAD}clientConnection: {{kubeconfig: /file}}\n")).unwrap();
    let from_environment = GivenFlag {
        is_from_environment: true,
        ..flag("kubeconfig", "/environment")
    };

    let config = Configuration::new(Some(&file), vec![from_environment]).unwrap();

    assert_eq!(config.kube_proxy.client_connection.kubeconfig, "/file");
    assert_eq!(config.notices, Notices::default());
}

#[test]
fn a_wrong_flag_is_named_as_it_was_given() {
    for (given, error) in [
        (
            vec![flag("nodeport-addresses", "primary,eth0")],
            "command line: --nodeport-addresses[1]: \"eth0\": must be a network like \
             192.0.2.0/24, or primary, localhost or all",
        ),
        (
            vec![flag("v", "-1")],
            "command line: -v: -1: must not be negative",
        ),
        (
            vec![
                flag("proxy-mode", "nftables"),
                flag("iptables-sync-period", "-1s"),
            ],
            "command line: --iptables-sync-period: \"-1s\": must be greater than 0",
        ),
        (
            vec![flag("detect-local-mode", "BridgeInterface")],
            "command line: --pod-bridge-interface: is required by this detectLocalMode",
        ),
    ] {
        let told = Configuration::new(None, given).unwrap_err().to_string();

        assert_eq!(told, error);
    }
}

#[test]
fn values_on_the_command_line_are_read_as_go_does() {
    for text in ["1", "t", "T", "true", "TRUE", "True"] {
        assert_eq!(Kind::Bool.parse(text), Ok(true.into()));
    }
    for text in ["0", "f", "F", "false", "FALSE", "False"] {
        assert_eq!(Kind::Bool.parse(text), Ok(false.into()));
    }
    for (kind, text) in [
        (Kind::Bool, "yes"),
        (Kind::Integer, "1.5"),
        (Kind::Number, "NaN"),
        (Kind::Duration, "30"),
        (Kind::Gates, "A"),
        (Kind::Gates, "A=maybe"),
    ] {
        assert!(kind.parse(text).is_err(), "{kind:?} {text}");
    }
}
