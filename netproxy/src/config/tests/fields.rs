//! The table of fields says the truth about every field, and the documentation says what it does.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;

/// Fields that act, each with a setting that differs from the default, and what it takes to act.
const ACTING: [(&str, &str, &str); 20] = [
    (
        "featureGates",
        "featureGates: {AllowServiceExternalIPs: false}",
        "",
    ),
    (
        "clientConnection.kubeconfig",
        "clientConnection: {kubeconfig: /k}",
        "",
    ),
    ("logging.format", "logging: {format: json}", ""),
    ("logging.verbosity", "logging: {verbosity: 4}", ""),
    ("hostnameOverride", "hostnameOverride: a", ""),
    ("bindAddress", "bindAddress: 192.0.2.1", ""),
    ("healthzBindAddress", "healthzBindAddress: 192.0.2.1", ""),
    ("metricsBindAddress", "metricsBindAddress: 192.0.2.1", ""),
    ("bindAddressHardFail", "bindAddressHardFail: true", ""),
    (
        "iptables.masqueradeAll",
        "iptables: {masqueradeAll: true}",
        "",
    ),
    (
        "iptables.localhostNodePorts",
        "iptables: {localhostNodePorts: false}",
        "",
    ),
    ("iptables.syncPeriod", "iptables: {syncPeriod: 10s}", ""),
    ("ipvs.syncPeriod", "ipvs: {syncPeriod: 10s}", "mode: ipvs"),
    (
        "nftables.masqueradeAll",
        "nftables: {masqueradeAll: true}",
        "",
    ),
    (
        "nftables.syncPeriod",
        "nftables: {syncPeriod: 10s}",
        "mode: nftables",
    ),
    ("detectLocalMode", "detectLocalMode: NodeCIDR", ""),
    (
        "detectLocal.bridgeInterface",
        "detectLocal: {bridgeInterface: b}",
        "detectLocalMode: BridgeInterface",
    ),
    (
        "detectLocal.interfaceNamePrefix",
        "detectLocal: {interfaceNamePrefix: p}",
        "detectLocalMode: InterfaceNamePrefix",
    ),
    (
        "clusterCIDR",
        "clusterCIDR: 10.0.0.0/8",
        "detectLocalMode: ClusterCIDR",
    ),
    ("nodePortAddresses", "nodePortAddresses: [all]", ""),
];

/// All that the agent goes by.
fn effect(config: &Configuration) -> impl PartialEq + std::fmt::Debug + use<> {
    let Configuration {
        kube_proxy,
        settings,
        serve,
        node_name,
        ..
    } = config.clone();
    (
        settings,
        serve,
        node_name,
        kube_proxy.client_connection.kubeconfig,
        (kube_proxy.logging.format, kube_proxy.logging.verbosity),
    )
}

/// A value that is nobody's default.
fn sample(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true",
        Kind::Integer => "7",
        Kind::Number => "7.5",
        Kind::Text | Kind::Any => "text",
        Kind::List => "[10.9.0.0/16]",
        Kind::Duration => "3s",
        Kind::Gates => "{Other: true}",
        Kind::Sizes => "{FLOWS_V4: 7}",
    }
}

/// One field as a line of YAML.
pub(super) fn set(path: &str, value: &str) -> String {
    let (section, rest) = path.split_once('.').unwrap_or((path, ""));
    let inner = rest.rsplit('.').filter(|name| !name.is_empty());
    let value = inner.fold(value.to_owned(), |value, name| {
        format!("{{{name}: {value}}}")
    });
    format!("{section}: {value}\n")
}

#[test]
fn every_field_that_acts_makes_a_difference() {
    let acting: BTreeSet<_> = ACTING.iter().map(|(path, ..)| *path).collect();
    let said: BTreeSet<_> = KUBE_PROXY_FIELDS
        .iter()
        .filter(|field| matches!(field.role, Role::Acts | Role::If(_)))
        .map(|field| field.path)
        .collect();
    assert_eq!(acting, said);

    for (path, fields, context) in ACTING {
        let config = with(&format!("{context}\n{fields}\n"));
        // What it takes to act may be wrong without the field.
        let other = fields.replace("{bridgeInterface: b}", "{bridgeInterface: c}");
        let other = other.replace("{interfaceNamePrefix: p}", "{interfaceNamePrefix: q}");
        let other = if other == fields {
            String::new()
        } else {
            other
        };
        let without = with(&format!("{context}\n{other}\n"));

        assert_ne!(effect(&config), effect(&without), "{path}");
        assert_eq!(config.notices, Notices::default(), "{path}");
    }
}

#[test]
fn every_field_without_a_meaning_is_named_and_makes_no_difference() {
    let default = effect(&with(""));
    for field in KUBE_PROXY_FIELDS {
        let is_named = matches!(field.role, Role::Nothing);
        if !is_named && !matches!(field.role, Role::Quiet) {
            continue;
        }
        let config = with(&set(field.path, sample(field.kind)));

        assert_eq!(effect(&config), default, "{}", field.path);
        let named = is_named.then(|| format!("{} ({})", field.path, field.help));
        assert_eq!(config.notices.meaningless, named);
    }
}

#[test]
fn a_file_with_every_field_has_one_line_that_names_all_without_a_meaning() {
    let mut document = Document::default();
    for field in KUBE_PROXY_FIELDS {
        // Samples that would be refused, and the mode, which takes a field for its own.
        let value = match field.path {
            "mode" => "''",
            "bindAddress" | "healthzBindAddress" | "metricsBindAddress" => "192.0.2.1",
            "clusterCIDR" => "10.0.0.0/8",
            "logging.format" => "json",
            "detectLocalMode" => "BridgeInterface",
            _ => sample(field.kind),
        };
        document.set_flag(field, "any", serde_saphyr::from_str(value).unwrap());
    }
    let fields: Value = document.typed().unwrap();
    let text = format!("{HEAD}{}", serde_saphyr::to_string(&fields).unwrap());

    let config = Configuration::new(Some(&file(&text).unwrap()), Vec::new()).unwrap();

    assert_eq!(config.notices.unknown, None);
    let line = config.notices.meaningless.unwrap();
    assert!(!line.contains('\n'));
    let names: BTreeSet<String> = line
        .split("; ")
        .flat_map(|part| part.split(" (").next().unwrap().split(", "))
        .map(str::to_owned)
        .collect();
    let meaningless = KUBE_PROXY_FIELDS
        .iter()
        .filter(|field| matches!(field.role, Role::Nothing))
        .map(|field| field.path.to_owned());
    let elsewhere = [
        "detectLocal.interfaceNamePrefix",
        "featureGates.Other",
        "ipvs.syncPeriod",
        "nftables.syncPeriod",
    ];
    let expected: BTreeSet<String> = meaningless.chain(elsewhere.map(str::to_owned)).collect();
    assert_eq!(names, expected);
}

#[test]
fn the_table_has_the_fields_of_the_type_and_those_that_are_gone() {
    fn paths(prefix: &str, value: &Value, found: &mut BTreeSet<String>) {
        for (key, value) in value.as_object().unwrap() {
            let path = format!("{prefix}{key}");
            match value {
                // Mappings that are fields themselves.
                Value::Object(map) if !map.is_empty() => paths(&format!("{path}."), value, found),
                _ => {
                    found.insert(path);
                }
            }
        }
    }
    let mut expected = BTreeSet::from(["udpIdleTimeout".to_owned()]);
    let default = serde_json::to_value(KubeProxyConfiguration::default()).unwrap();

    paths("", &default, &mut expected);

    let table: BTreeSet<_> = KUBE_PROXY_FIELDS
        .iter()
        .map(|field| field.path.to_owned())
        .collect();
    assert_eq!(table, expected);
    assert_eq!(table.len(), KUBE_PROXY_FIELDS.len(), "a path stands twice");
}

#[test]
fn the_default_of_every_field_is_of_its_kind() {
    let default = serde_json::to_value(KubeProxyConfiguration::default()).unwrap();
    for field in KUBE_PROXY_FIELDS {
        let value = field
            .path
            .split('.')
            .fold(&default, |value, part| &value[part]);

        if !value.is_null() {
            assert_eq!(field.kind.refusal(value), None, "{}", field.path);
        }
    }
}

#[test]
fn the_documentation_tells_of_every_field() {
    let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let documentation = fs::read_to_string(documentation).unwrap();

    for (what, table) in [
        ("KubeProxyConfiguration", kube_proxy_table()),
        ("NetproxyConfiguration", own_table()),
    ] {
        assert!(
            documentation.contains(&table),
            "docs/configuration.md has another table of {what} than this:\n{table}"
        );
    }
}

fn kube_proxy_table() -> String {
    let mut defaults = KubeProxyConfiguration::default();
    defaults.fill_in();
    let defaults = serde_json::to_value(defaults).unwrap();
    let mut table = "| field | flag | default | here | |\n|---|---|---|---|---|\n".to_owned();
    for field in KUBE_PROXY_FIELDS {
        let default = field
            .path
            .split('.')
            .fold(&defaults, |value, part| &value[part]);
        let default = match default {
            Value::Null => String::new(),
            Value::String(text) if text.is_empty() => String::new(),
            Value::String(text) => format!("`{text}`"),
            value => format!("`{value}`"),
        };
        let flag = match field.flag {
            Some("v") => "`-v`".to_owned(),
            Some(flag) => format!("`--{flag}`"),
            None => String::new(),
        };
        let role = match field.role {
            Role::Acts => "acts",
            Role::If(_) => "acts in its mode, else accepted with a warning",
            Role::Quiet => "accepted",
            Role::Nothing => "accepted with a warning",
        };
        let Field { path, help, .. } = field;
        writeln!(table, "| `{path}` | {flag} | {default} | {role} | {help} |").unwrap();
    }
    table
}

fn own_table() -> String {
    let mut table = "| field | |\n|---|---|\n".to_owned();
    for Field { path, help, .. } in OWN_FIELDS {
        writeln!(table, "| `{path}` | {help} |").unwrap();
    }
    table
}
