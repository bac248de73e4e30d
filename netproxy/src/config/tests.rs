//! What files and flags make of the agent.

mod actions;
mod fields;
mod files;
mod flags;
mod refusals;
mod watching;

use std::path::Path;

use super::*;

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
const OWN_HEAD: &str = "---\napiVersion: netproxy.dev/v1alpha1\nkind: NetproxyConfiguration\n";

/// A file with this text, read.
fn file(text: &str) -> Result<ConfigFile, ConfigError> {
    ConfigFile::parse(Path::new("/etc/kp.yaml"), text.as_bytes().to_vec())
}

/// The configuration of a file that has these fields.
fn with(fields: &str) -> Configuration {
    Configuration::new(Some(&file(&format!("{HEAD}{fields}")).unwrap()), Vec::new()).unwrap()
}

/// What is wrong with a file that has this text.
fn wrong(text: &str) -> String {
    let outcome = file(text).and_then(|file| Configuration::new(Some(&file), Vec::new()));
    outcome.unwrap_err().to_string()
}

/// As if `--NAME=VALUE` had been given.
fn flag(name: &str, value: &str) -> GivenFlag {
    let field = KUBE_PROXY_FIELDS
        .iter()
        .find(|field| field.flag == Some(name))
        .unwrap_or_else(|| panic!("there is no --{name}"));
    GivenFlag {
        field,
        value: field.kind.parse(value).unwrap(),
        is_from_environment: false,
    }
}
