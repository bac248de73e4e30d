//! `namespace/name:port` as it stands in `NAMES`.

use netproxy_common::Name;
use netproxy_common::name::NAME_BYTES;

use crate::model::{Family, ObjectName, Protocol};
use crate::plan::PortKey;

/// Writes the key; None: longer than Kubernetes admits.
pub(super) fn encode(key: &PortKey) -> Option<Name> {
    let PortKey {
        service,
        port,
        protocol,
        family,
    } = key;
    let text = format!("{service}:{port}");
    let mut bytes = [0; NAME_BYTES];
    bytes
        .get_mut(..text.len())?
        .copy_from_slice(text.as_bytes());
    Some(Name {
        text: bytes,
        protocol: protocol.number(),
        family: match family {
            Family::V4 => 4,
            Family::V6 => 6,
        },
        pad: [0; 3],
    })
}

/// Reads it back; None: not something that `encode` wrote.
pub(super) fn decode(name: &Name) -> Option<PortKey> {
    let length = name
        .text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(NAME_BYTES);
    let text = str::from_utf8(&name.text[..length]).ok()?;
    let (service, port) = text.rsplit_once(':')?;
    let (namespace, service) = service.split_once('/')?;
    Some(PortKey {
        service: ObjectName::new(namespace, service),
        port: port.into(),
        protocol: Protocol::from_number(name.protocol)?,
        family: match name.family {
            4 => Family::V4,
            6 => Family::V6,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: &str) -> PortKey {
        PortKey {
            service: ObjectName::new("shop", "cart"),
            port: port.into(),
            protocol: Protocol::Udp,
            family: Family::V6,
        }
    }

    #[test]
    fn a_name_comes_back_as_it_was() {
        for port in ["", "http"] {
            assert_eq!(
                encode(&key(port)).as_ref().and_then(decode),
                Some(key(port))
            );
        }
    }

    #[test]
    fn a_name_longer_than_kubernetes_admits_is_refused() {
        assert_eq!(encode(&key(&"x".repeat(NAME_BYTES))), None);
    }
}
