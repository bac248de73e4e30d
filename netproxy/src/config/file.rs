//! The configuration file: YAML (or JSON) of one or two documents, `KubeProxyConfiguration` and
//! `NetproxyConfiguration`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use serde_saphyr::DuplicateKeyPolicy;

use super::error::ConfigError;
use super::kube_proxy::KubeProxyConfiguration;
use super::own::NetproxyConfiguration;

const KUBE_PROXY: (&str, &str) = ("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration");
const NETPROXY: (&str, &str) = ("netproxy.dev/v1alpha1", "NetproxyConfiguration");

/// A configuration file as it was read.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    pub(super) path: PathBuf,
    /// What it was made of, to know when that changes.
    pub(super) content: Vec<u8>,
    pub(super) kube_proxy: Map<String, Value>,
    pub(super) own: Map<String, Value>,
    /// Why it is read leniently, if a name stands twice in a mapping.
    pub(super) doubled: Option<String>,
}

/// A document as it is written: its head first.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a, T> {
    api_version: &'a str,
    kind: &'a str,
    #[serde(flatten)]
    document: &'a T,
}

impl ConfigFile {
    /// Reads the file at `path`. Nothing is said about the fields yet.
    ///
    /// # Errors
    /// It cannot be read, is no YAML, or has other documents than it should.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let content = fs::read(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, content)
    }

    pub(super) fn parse(path: &Path, content: Vec<u8>) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::Documents {
            path: path.to_owned(),
            reason,
        };
        let (documents, doubled) = documents(path, &content)?;
        let (mut kube_proxy, mut own) = (None, None);
        for document in documents {
            let Value::Object(mut document) = document else {
                return Err(wrong("a document is no mapping".to_owned()));
            };
            let mut head = |name: &str| match document.remove(name) {
                Some(Value::String(text)) => text,
                Some(other) => other.to_string(),
                None => String::new(),
            };
            let (api_version, kind) = (head("apiVersion"), head("kind"));
            let place = match (api_version.as_str(), kind.as_str()) {
                KUBE_PROXY => &mut kube_proxy,
                NETPROXY => &mut own,
                _ => return Err(wrong(strange_head(&api_version, &kind))),
            };
            if place.replace(document).is_some() {
                return Err(wrong(format!("{kind} stands in it twice; keep one")));
            }
        }
        if kube_proxy.is_none() && own.is_none() {
            return Err(wrong(format!("empty; {}", wanted_heads())));
        }
        Ok(Self {
            path: path.to_owned(),
            content,
            kube_proxy: kube_proxy.unwrap_or_default(),
            own: own.unwrap_or_default(),
            doubled,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The documents; and, if only a lenient reader can make sense of them, why a strict one cannot.
fn documents(path: &Path, content: &[u8]) -> Result<(Vec<Value>, Option<String>), ConfigError> {
    let text = std::str::from_utf8(content).map_err(|error| ConfigError::Documents {
        path: path.to_owned(),
        reason: format!("not UTF-8: {error}"),
    })?;
    let read = |duplicate_keys| {
        let options = serde_saphyr::options! { duplicate_keys: duplicate_keys };
        serde_saphyr::from_multiple_with_options::<Value>(text, options)
    };
    let strict = match read(DuplicateKeyPolicy::Error) {
        Ok(documents) => return Ok((documents, None)),
        Err(error) => yaml_error(path, &error),
    };
    match read(DuplicateKeyPolicy::LastWins) {
        Ok(documents) => Ok((documents, Some(strict.to_string()))),
        Err(_) => Err(strict),
    }
}

fn yaml_error(path: &Path, error: &serde_saphyr::Error) -> ConfigError {
    let (line, column) = error
        .location()
        .map_or((1, 1), |at| (at.line(), at.column()));
    let reason = error.without_snippet().to_string();
    ConfigError::Yaml {
        path: path.to_owned(),
        line,
        column,
        reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn strange_head(api_version: &str, kind: &str) -> String {
    format!(
        "apiVersion {api_version:?} with kind {kind:?} is not known; {}",
        wanted_heads()
    )
}

fn wanted_heads() -> String {
    format!(
        "give it `apiVersion: {}` and `kind: {}`, or `apiVersion: {}` and `kind: {}`",
        KUBE_PROXY.0, KUBE_PROXY.1, NETPROXY.0, NETPROXY.1
    )
}

/// The configuration as a file would have it.
pub(super) fn written(
    kube_proxy: &KubeProxyConfiguration,
    own: &NetproxyConfiguration,
) -> Result<String, serde_saphyr::SerializeError> {
    let text = serde_saphyr::to_string(&Written {
        api_version: KUBE_PROXY.0,
        kind: KUBE_PROXY.1,
        document: kube_proxy,
    })?;
    if *own == NetproxyConfiguration::default() {
        return Ok(format!("{}\n", text.trim_end()));
    }
    let own = serde_saphyr::to_string(&Written {
        api_version: NETPROXY.0,
        kind: NETPROXY.1,
        document: own,
    })?;
    Ok(format!("{}\n---\n{}\n", text.trim_end(), own.trim_end()))
}
