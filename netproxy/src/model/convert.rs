//! From the API's objects to the model: the one place that knows k8s-openapi's types.
//!
//! Each conversion drops what a proxy may not see (headless and `ExternalName` services, FQDN
//! slices, ports without a number) and returns `None` for an object that leaves nothing. None of
//! them fails or panics, whatever the object holds: what cannot be used is left out and logged,
//! with the names of the object and the field.

mod address;
mod complaint;
mod endpoint_slice;
mod interner;
mod node;
mod pod;
mod service;
mod service_cidr;

#[cfg(test)]
mod tests;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use self::endpoint_slice::endpoint_slice;
pub use self::interner::Interner;
pub use self::node::node;
pub use self::pod::{namespace, pod};
pub use self::service::service;
pub use self::service_cidr::service_cidr;
use super::{ObjectName, Protocol};

/// The namespace of an object that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// The longest DNS subdomain (RFC 1123), and the longest DNS label.
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// `namespace/name` from an object's metadata, or None if either is none that Kubernetes admits.
pub fn object_name(metadata: &ObjectMeta, interner: &mut Interner) -> Option<ObjectName> {
    let name = metadata.name.as_deref().filter(|name| is_name(name))?;
    Some(ObjectName::new(namespace_of(metadata, interner)?, name))
}

/// The (interned) namespace of an object.
fn namespace_of(metadata: &ObjectMeta, interner: &mut Interner) -> Option<super::Label> {
    match metadata.namespace.as_deref() {
        None | Some("") => Some(interner.intern(DEFAULT_NAMESPACE)),
        Some(namespace) => is_label(namespace).then(|| interner.intern(namespace)),
    }
}

/// Whether `text` may name an object. Case is not looked at; that nothing separates names in
/// `namespace/name:port` is what matters.
fn is_name(text: &str) -> bool {
    let is_admitted = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(is_admitted)
}

/// Whether `text` may name a namespace, a Service or a port.
fn is_label(text: &str) -> bool {
    is_name(text) && text.len() <= LABEL_BYTES
}

/// The value of a label; what some labels say is only that they exist.
fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The value of an annotation.
fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
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
