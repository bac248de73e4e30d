//! What is worth a line in the log although nothing is wrong.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::Document;
use super::field::Role;
use super::fields::KUBE_PROXY_FIELDS;
use super::kube_proxy::KubeProxyConfiguration;
use super::understand::EXTERNAL_IPS;

const OTHER_MODE: &str = "of another mode than the one that is chosen";
const UNKNOWN_GATE: &str = "no such feature gate in netproxy";

/// Lines for the log; each is there at most once however much it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// Settings that mean nothing here, each with the reason why.
    pub meaningless: Option<String>,
    /// Fields that kube-proxy's API does not have.
    pub unknown: Option<String>,
    /// Names that stand twice in a mapping.
    pub doubled: Option<String>,
    /// Flags that do not count beside a file.
    pub overridden: Option<String>,
}

/// `a, b (why); c (why)`: what was set to something other than its default, and means nothing.
pub(super) fn meaningless(document: &Document, config: &KubeProxyConfiguration) -> Option<String> {
    let defaults = serde_json::to_value(KubeProxyConfiguration::default()).unwrap_or_default();
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut tell = |reason, name| names.entry(reason).or_default().push(name);
    for field in KUBE_PROXY_FIELDS {
        let reason = match field.role {
            Role::Nothing => field.help,
            Role::If(acts) if !acts(config) => OTHER_MODE,
            Role::Acts | Role::Quiet | Role::If(_) => continue,
        };
        let default = at(&defaults, field.path);
        let value = document.get(field.path);
        let is_set = value.is_some_and(|value| !field.kind.is_same_or_zero(value, default));
        if is_set {
            tell(reason, document.name(field.path));
        }
    }
    for gate in config
        .feature_gates
        .keys()
        .filter(|gate| *gate != EXTERNAL_IPS)
    {
        let name = match document.flag("featureGates") {
            Some(flag) => format!("--{flag}={gate}"),
            None => format!("featureGates.{gate}"),
        };
        tell(UNKNOWN_GATE, name);
    }
    let parts: Vec<_> = names
        .iter()
        .map(|(reason, names)| format!("{} ({reason})", names.join(", ")))
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What stands at `path`; null if nothing does.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, part| &value[part])
}
