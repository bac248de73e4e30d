//! From the API's objects to the model: the one place that knows k8s-openapi's types.
//!
//! Each conversion drops what a proxy may not see (headless and `ExternalName` services, FQDN
//! slices, ports without a number) and returns `None` for an object that leaves nothing. None of
//! them fails or panics, whatever the object holds: what cannot be used is left out and logged.

mod address;
mod endpoint_slice;
mod interner;
mod node;
mod service;
mod service_cidr;

#[cfg(test)]
mod tests;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use self::endpoint_slice::endpoint_slice;
pub use self::interner::Interner;
pub use self::node::node;
pub use self::service::service;
pub use self::service_cidr::service_cidr;
use super::{ObjectName, Protocol};

/// The namespace of an object that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// `namespace/name` from an object's metadata, or None if it has no name.
pub fn object_name(metadata: &ObjectMeta, interner: &mut Interner) -> Option<ObjectName> {
    let name = metadata.name.as_deref().filter(|name| !name.is_empty())?;
    Some(ObjectName::new(namespace(metadata, interner), name))
}

/// The (interned) namespace of an object.
fn namespace(metadata: &ObjectMeta, interner: &mut Interner) -> super::Label {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    interner.intern(if namespace.is_empty() {
        DEFAULT_NAMESPACE
    } else {
        namespace
    })
}

/// The value of a label; what some labels say is only that they exist.
fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// A protocol by its API name; TCP when absent.
fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name {
        None | Some("" | "TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

/// A port number, unless it is zero or out of range.
fn port(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port != 0)
}
