//! kube-proxy's own flags.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Args;
use netproxy::config::{ConfigError, ConfigFile, GivenFlag, KUBE_PROXY_FIELDS};
use serde_json::Value;

use super::field_flags::FieldFlags;

pub(super) const HEADING: &str = "kube-proxy's flags";

/// As kube-proxy takes them.
#[derive(Args, Debug)]
#[command(next_help_heading = HEADING)]
pub(super) struct KubeProxyArgs {
    /// Configuration file: a `KubeProxyConfiguration`, and in a second YAML document a
    /// `NetproxyConfiguration`. It overrides kube-proxy's flags but for --hostname-override,
    /// --master and those of the log. The agent ends when the file changes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Write the configuration that would be used, with its defaults, to this file, and end
    #[arg(long, value_name = "FILE")]
    pub(super) write_config_to: Option<PathBuf>,

    /// Do what `netproxy cleanup` does, and end
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    cleanup: Option<bool>,

    /// End at once: `netproxy init` is what gives a node what it lacks before the agent starts
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    init_only: Option<bool>,

    /// Address of the API server in place of the configured one, for example
    /// `https://10.0.0.10:6443`; it must not depend on the services that are to be served
    #[arg(
        long = "master",
        visible_alias = "server",
        value_name = "URL",
        env = "NETPROXY_SERVER"
    )]
    server: Option<String>,

    #[command(flatten)]
    fields: FieldFlags,

    /// Deprecated: the port of --healthz-bind-address; 0 turns the server off
    #[arg(long, value_name = "PORT", hide_short_help = true)]
    healthz_port: Option<u16>,

    /// Deprecated: the port of --metrics-bind-address; 0 turns the server off
    #[arg(long, value_name = "PORT", hide_short_help = true)]
    metrics_port: Option<u16>,
}

impl KubeProxyArgs {
    /// The configuration file, if there is one.
    pub(super) fn file(&self) -> Result<Option<ConfigFile>, ConfigError> {
        self.config.as_deref().map(ConfigFile::read).transpose()
    }

    /// Whether to clean up, and nothing else.
    pub(super) fn cleanup(&self) -> bool {
        self.cleanup == Some(true)
    }

    /// Whether to initialise, and nothing else.
    pub(super) fn init_only(&self) -> bool {
        self.init_only == Some(true)
    }

    /// The API server's address; an empty one is none, as in kube-proxy.
    pub(super) fn server(self) -> Option<String> {
        self.server.filter(|server| !server.is_empty())
    }

    /// What was given for fields.
    pub(super) fn flags(&self) -> Vec<GivenFlag> {
        let mut flags = self.fields.0.clone();
        let (every, own) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST);
        add_port(&mut flags, "healthzBindAddress", self.healthz_port, every);
        add_port(&mut flags, "metricsBindAddress", self.metrics_port, own);
        flags
    }
}

/// The port of an address that has none of its own.
fn add_port(flags: &mut Vec<GivenFlag>, path: &str, port: Option<u16>, default: Ipv4Addr) {
    let Some(port) = port else { return };
    let Some(field) = KUBE_PROXY_FIELDS.iter().find(|field| field.path == path) else {
        return;
    };
    let position = flags.iter().position(|flag| flag.field.path == path);
    let given = position.map(|position| flags.remove(position).value);
    let given = given.as_ref().and_then(Value::as_str).unwrap_or_default();
    let value = match (port, given.parse::<IpAddr>()) {
        (0, _) => String::new(),
        (_, Ok(IpAddr::V6(address))) => format!("[{address}]:{port}"),
        (_, Ok(IpAddr::V4(address))) => format!("{address}:{port}"),
        (_, Err(_)) if position.is_none() => format!("{default}:{port}"),
        // It has a port, is turned off, or is wrong, which is told elsewhere.
        (_, Err(_)) => given.to_owned(),
    };
    flags.push(GivenFlag {
        field,
        value: value.into(),
        is_from_environment: false,
    });
}
