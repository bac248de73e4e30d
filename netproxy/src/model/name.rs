//! Names, families and protocols.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A shared short string: node, zone and port names repeat thousands of times.
pub type Label = Arc<str>;

/// `namespace/name` of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// `metadata.namespace`.
    pub namespace: Label,
    /// `metadata.name`.
    pub name: Label,
}

/// An IP family. The two are independent tables everywhere, as in kube-proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A transport protocol that services can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, the default of a service port.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl ObjectName {
    /// From its two parts.
    pub fn new(namespace: impl Into<Label>, name: impl Into<Label>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name } = self;
        write!(f, "{namespace}/{name}")
    }
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// As Kubernetes writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of `address`.
    #[must_use]
    pub const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Protocol {
    /// The IANA number, as it stands in map keys.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => netproxy_common::protocol::TCP,
            Self::Udp => netproxy_common::protocol::UDP,
            Self::Sctp => netproxy_common::protocol::SCTP,
        }
    }

    /// The protocol with this IANA number, if services can name it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            netproxy_common::protocol::TCP => Some(Self::Tcp),
            netproxy_common::protocol::UDP => Some(Self::Udp),
            netproxy_common::protocol::SCTP => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}
