//! Names of services on the command line: `[NAMESPACE/]NAME[:PORT]`, and as they are shown.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use clap::Args;
use netproxy::plan::PortKey;

/// What stands for a [`ServiceName`] in usage lines.
pub(super) const PLACEHOLDER: &str = "[NAMESPACE/]NAME[:PORT]";

/// One service in every namespace, or in one; all its ports, or one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceName {
    namespace: Option<String>,
    name: String,
    port: Option<String>,
}

/// Restricts services to a namespace.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct NamespaceArgs {
    /// Only services of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
}

impl NamespaceArgs {
    /// Whether every namespace is meant.
    pub(super) const fn is_unset(&self) -> bool {
        self.namespace.is_none()
    }

    /// Whether the service port is among those asked for.
    pub(super) fn admits(&self, key: &PortKey, name: Option<&ServiceName>) -> bool {
        let is_inside = |namespace: &String| *key.service.namespace == **namespace;
        self.namespace.as_ref().is_none_or(is_inside) && name.is_none_or(|name| name.admits(key))
    }
}

impl ServiceName {
    fn admits(&self, key: &PortKey) -> bool {
        let Self {
            namespace,
            name,
            port,
        } = self;
        let is_same = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        is_same(namespace, &key.service.namespace)
            && *name == *key.service.name
            && is_same(port, &key.port)
    }
}

impl FromStr for ServiceName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, text) = match text.split_once('/') {
            Some((namespace, rest)) => (Some(namespace.to_owned()), rest),
            None => (None, text),
        };
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            namespace,
            name: name.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            name,
            port,
        } = self;
        if let Some(namespace) = namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(name)?;
        match port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// `namespace/name:port`, or `namespace/name` for the only, unnamed port.
pub(super) fn shown(key: &PortKey) -> String {
    let PortKey {
        service,
        port,
        protocol: _,
        family: _,
    } = key;
    if port.is_empty() {
        service.to_string()
    } else {
        format!("{service}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use netproxy::model::{Family, ObjectName, Protocol};

    use super::*;

    fn cart(port: &str) -> PortKey {
        PortKey {
            service: ObjectName::new("shop", "cart"),
            port: port.into(),
            protocol: Protocol::Tcp,
            family: Family::V4,
        }
    }

    fn admits(name: &str, namespace: Option<&str>) -> bool {
        let namespace = NamespaceArgs {
            namespace: namespace.map(str::to_owned),
        };
        namespace.admits(&cart("http"), Some(&name.parse().unwrap()))
    }

    #[test]
    fn a_bare_name_stands_for_every_namespace_and_port() {
        assert!(admits("cart", None));
        assert!(admits("shop/cart", None));
        assert!(admits("cart:http", None));
        assert!(!admits("shop", None));
        assert!(!admits("other/cart", None));
        assert!(!admits("cart:https", None));
    }

    #[test]
    fn the_namespace_option_holds_besides_the_name() {
        assert!(admits("cart", Some("shop")));
        assert!(!admits("cart", Some("other")));
        assert!(!admits("shop/cart", Some("other")));
    }

    #[test]
    fn what_is_shown_can_be_given_back() {
        for key in [cart("http"), cart("")] {
            let name: ServiceName = shown(&key).parse().unwrap();

            assert!(name.admits(&key), "{name}");
            assert_eq!(name.to_string(), shown(&key));
        }
    }
}
