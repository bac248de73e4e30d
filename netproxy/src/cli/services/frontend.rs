//! Where clients reach a service port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use netproxy::datapath::FrontendEntry;
use netproxy_common::FrontendKind;
use serde::Serialize;

/// Where clients reach the service port.
#[derive(Debug, Serialize)]
pub(super) struct Frontend {
    kind: &'static str,
    address: Option<IpAddr>,
    port: u16,
}

impl From<&FrontendEntry> for Frontend {
    fn from(entry: &FrontendEntry) -> Self {
        let FrontendEntry {
            address,
            port,
            protocol: _,
            kind,
            service: _,
        } = *entry;
        Self {
            kind: match kind {
                FrontendKind::ClusterIp => "ClusterIP",
                FrontendKind::NodePort => "NodePort",
                FrontendKind::LoadBalancer => "LoadBalancer",
                FrontendKind::ExternalIp => "ExternalIP",
            },
            address,
            port,
        }
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            address,
            port,
        } = self;
        match address {
            Some(address) => write!(f, "{kind} {}", SocketAddr::new(*address, *port)),
            None => write!(f, "{kind} {port}"),
        }
    }
}
