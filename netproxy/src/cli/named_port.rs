//! The fields by which rows name a service port.

use netproxy::model::{Family, Protocol};
use netproxy::plan::PortKey;
use serde::Serialize;

use super::service_name;
use super::table::as_text;

/// A service port, of one family.
#[derive(Debug, Serialize)]
pub(super) struct NamedPort {
    namespace: String,
    name: String,
    port_name: String,
    #[serde(serialize_with = "as_text")]
    pub(super) protocol: Protocol,
    #[serde(serialize_with = "as_text")]
    pub(super) family: Family,
    /// As people read it.
    #[serde(skip)]
    pub(super) shown: String,
}

impl From<&PortKey> for NamedPort {
    fn from(key: &PortKey) -> Self {
        Self {
            namespace: key.service.namespace.to_string(),
            name: key.service.name.to_string(),
            port_name: key.port.to_string(),
            protocol: key.protocol,
            family: key.family,
            shown: service_name::shown(key),
        }
    }
}
