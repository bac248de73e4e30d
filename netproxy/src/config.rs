//! The configuration of an agent: kube-proxy's file and flags, and what netproxy adds to them.
//!
//! What has a meaning here becomes [`Settings`] and [`ServeSettings`]; what has none is accepted
//! and named in one [notice](Notices); what is wrong is refused, all of it at once. One
//! [table](KUBE_PROXY_FIELDS) tells which field is which; the flags, the checks, the notices and
//! the documentation follow from it. Nothing here acts on the node but [`Watch`], which tells when
//! the file has changed.

mod check;
mod document;
mod duration;
mod error;
mod field;
mod fields;
mod file;
mod kube_proxy;
mod local_pods;
mod notices;
mod own;
mod understand;
mod watch;

use std::fs;
use std::path::Path;

use serde_json::Value;

use self::check::Check;
use self::document::{Document, Leftovers};
pub use self::duration::{GoDuration, NotADuration};
pub use self::error::{ConfigError, FieldError};
pub use self::field::{Field, Kind, Role};
pub use self::fields::{KUBE_PROXY_FIELDS, OWN_FIELDS};
pub use self::file::ConfigFile;
pub use self::kube_proxy::KubeProxyConfiguration;
pub use self::notices::Notices;
use self::own::NetproxyConfiguration;
pub use self::own::OwnSettings;
pub use self::watch::Watch;
use crate::settings::{ServeSettings, Settings};

/// kube-proxy has one flag for the sections of two modes. In its nftables mode they stand for the
/// latter.
const TWINS: [(&str, &str); 3] = [
    ("iptables.masqueradeAll", "nftables.masqueradeAll"),
    ("iptables.syncPeriod", "nftables.syncPeriod"),
    ("iptables.minSyncPeriod", "nftables.minSyncPeriod"),
];

/// One of kube-proxy's flags, as given.
#[derive(Clone, Debug)]
pub struct GivenFlag {
    /// The field that it sets, one of [`KUBE_PROXY_FIELDS`] with a flag.
    pub field: &'static Field,
    /// To what: of the field's kind.
    pub value: Value,
    /// Whether it comes from the environment, so that it is nobody's mistake beside a file.
    pub is_from_environment: bool,
}

/// A configuration that is right.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// kube-proxy's part of it, with its defaults.
    pub kube_proxy: KubeProxyConfiguration,
    /// netproxy's own part.
    pub own: OwnSettings,
    /// What follows from both, for the plan and the datapath.
    pub settings: Settings,
    /// What follows for the health and metrics servers.
    pub serve: ServeSettings,
    /// This node's name, if it was given.
    pub node_name: Option<String>,
    /// What the log should tell.
    pub notices: Notices,
    written: NetproxyConfiguration,
}

impl Configuration {
    /// From a file, if there is one, and kube-proxy's flags. A file overrides the flags, but for
    /// the node's name, the log, and the kubeconfig where the file names none.
    ///
    /// # Errors
    /// [`ConfigError::Fields`] with everything that is wrong.
    pub fn new(file: Option<&ConfigFile>, flags: Vec<GivenFlag>) -> Result<Self, ConfigError> {
        let (mut document, leftovers) = match file {
            Some(file) => Document::new(file.kube_proxy.clone(), KUBE_PROXY_FIELDS),
            None => (Document::of_command_line(), Leftovers::default()),
        };
        let own_values = file.map(|file| file.own.clone()).unwrap_or_default();
        let Leftovers {
            mut errors,
            unknown,
        } = leftovers;
        let mut notices = Notices {
            unknown: joined(&unknown),
            doubled: file.and_then(|file| file.doubled.clone()),
            ..Notices::default()
        };
        notices.overridden = joined(&add_flags(&mut document, flags, file.is_some()));
        let (own_document, own_leftovers) = Document::new(own_values, OWN_FIELDS);
        errors.extend(own_errors(own_leftovers));

        let written = own_document.typed().unwrap_or_else(|error| {
            errors.push(error);
            NetproxyConfiguration::default()
        });
        let own = OwnSettings::new(written.clone(), &mut Check::new(&own_document, &mut errors));
        let kube_proxy = defaulted(&document).unwrap_or_else(|error| {
            errors.push(error);
            KubeProxyConfiguration::default()
        });
        let mut check = Check::new(&document, &mut errors);
        let mut settings = understand::settings(&kube_proxy, &mut check);
        settings.masquerade = own.masquerade.unwrap_or(settings.masquerade);
        let serve = understand::serve(&kube_proxy, &mut check);
        let node_name = node_name(&kube_proxy.hostname_override, &mut check);
        understand::refuse_what_kube_proxy_refuses(&kube_proxy, &mut check);
        if !errors.is_empty() {
            let origin = match file {
                Some(file) => format!("configuration {}", file.path.display()),
                None => "command line".to_owned(),
            };
            return Err(ConfigError::Fields { origin, errors });
        }
        notices.meaningless = notices::meaningless(&document, &kube_proxy);
        Ok(Self {
            kube_proxy,
            own,
            settings,
            serve,
            node_name,
            notices,
            written,
        })
    }

    /// Writes it, with its defaults, as a file that says the same.
    ///
    /// # Errors
    /// [`ConfigError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        let failed = |reason: String| ConfigError::Write {
            path: path.to_owned(),
            reason,
        };
        let text = file::written(&self.kube_proxy, &self.written)
            .map_err(|error| failed(error.to_string()))?;
        fs::write(path, text).map_err(|error| failed(error.to_string()))
    }
}

/// The flags that do not count.
fn add_flags(document: &mut Document, flags: Vec<GivenFlag>, has_file: bool) -> Vec<String> {
    let is_nftables = flags
        .iter()
        .any(|flag| flag.field.path == "mode" && flag.value == "nftables");
    let mut overridden = Vec::new();
    for GivenFlag {
        field,
        value,
        is_from_environment,
    } in flags
    {
        let Some(flag) = field.flag else { continue };
        if !has_file || counts_beside_file(document, field) {
            let field = if is_nftables { twin(field) } else { field };
            document.set_flag(field, flag, value);
        } else if !is_from_environment {
            overridden.push(format!("--{flag}"));
        }
    }
    overridden
}

/// The field of the nftables mode that has the same flag; itself if there is none.
fn twin(field: &'static Field) -> &'static Field {
    TWINS
        .iter()
        .find(|(path, _)| *path == field.path)
        .and_then(|(_, twin)| KUBE_PROXY_FIELDS.iter().find(|field| field.path == *twin))
        .unwrap_or(field)
}

fn counts_beside_file(document: &Document, field: &Field) -> bool {
    match field.path {
        "hostnameOverride" => true,
        "clientConnection.kubeconfig" => document
            .get(field.path)
            .and_then(Value::as_str)
            .is_none_or(str::is_empty),
        path => path.starts_with("logging."),
    }
}

/// The document with kube-proxy's defaults. A server that is turned off on the command line stays
/// so; a file cannot say it, its empty text stands for the default.
fn defaulted(document: &Document) -> Result<KubeProxyConfiguration, FieldError> {
    let mut config: KubeProxyConfiguration = document.typed()?;
    let off = |path, address: &str| document.flag(path).is_some() && address.is_empty();
    let has_healthz = !off("healthzBindAddress", &config.healthz_bind_address);
    let has_metrics = !off("metricsBindAddress", &config.metrics_bind_address);
    config.fill_in();
    if !has_healthz {
        config.healthz_bind_address.clear();
    }
    if !has_metrics {
        config.metrics_bind_address.clear();
    }
    Ok(config)
}

/// A typing error in netproxy's own fields would otherwise go unseen; it has no other readers.
fn own_errors(leftovers: Leftovers) -> Vec<FieldError> {
    let Leftovers {
        mut errors,
        unknown,
    } = leftovers;
    errors.extend(unknown.into_iter().map(|field| FieldError {
        field,
        value: None,
        reason: format!(
            "NetproxyConfiguration has no such field; it has {}",
            OWN_FIELDS
                .iter()
                .map(|field| field.path)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }));
    errors
}

/// As kube-proxy does: trimmed and in lower case.
fn node_name(given: &str, check: &mut Check<'_>) -> Option<String> {
    if given.is_empty() {
        return None;
    }
    let name = given.trim().to_lowercase();
    let reason = "must not be blank; leave it out to use the host name";
    check.require(!name.is_empty(), "hostnameOverride", reason);
    Some(name)
}

fn joined(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests;
