//! Who asks, and for what, as it is said on the command line.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use netproxy::datapath::{ServiceEntry, View};
use netproxy::model::{Family, Protocol};
use netproxy_common::FrontendKind;

use crate::cli::service_name::{self, NamespaceArgs, ServiceName};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A process of this node.
    Host,
    /// Somebody with this address, and this port if it matters.
    Address(IpAddr, Option<u16>),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// An address and port.
    Place(SocketAddr),
    /// A service port, at its cluster IP.
    Service(ServiceName),
}

impl FromStr for Asker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "host" {
            return Ok(Self::Host);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address, None));
        }
        match text.parse::<SocketAddr>() {
            Ok(end) => Ok(Self::Address(end.ip(), Some(end.port()))),
            Err(_) => Err("neither an IP address, with or without a port, nor `host`".to_owned()),
        }
    }
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(place) = text.parse() {
            return Ok(Self::Place(place));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            let example = SocketAddr::new(address, 80);
            return Err(format!("an address needs a port, such as {example}"));
        }
        let name = text.parse().map(Self::Service);
        name.map_err(|never: std::convert::Infallible| match never {})
    }
}

impl Asker {
    fn family(self) -> Option<Family> {
        match self {
            Self::Host => None,
            Self::Address(IpAddr::V4(_), _) => Some(Family::V4),
            Self::Address(IpAddr::V6(_), _) => Some(Family::V6),
        }
    }
}

impl Asked {
    /// The address, port and protocol that packets have; where none is said, the protocol that is served there, or
    /// TCP.
    ///
    /// # Errors
    /// There is no such service, or it has several ports.
    pub(super) fn find(
        &self,
        asker: Asker,
        protocol: Option<Protocol>,
        view: &View,
        services: &BTreeMap<u32, ServiceEntry>,
    ) -> anyhow::Result<(SocketAddr, Protocol)> {
        match self {
            Self::Place(place) => {
                let served = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter();
                let mut served =
                    served.filter(|it| matches!(view.frontend_at(*place, *it), Ok(Some(_))));
                let protocol = protocol.or_else(|| served.next());
                Ok((*place, protocol.unwrap_or(Protocol::Tcp)))
            }
            Self::Service(name) => of_service(name, asker.family(), protocol, view, services),
        }
    }
}

fn of_service(
    name: &ServiceName,
    family: Option<Family>,
    protocol: Option<Protocol>,
    view: &View,
    services: &BTreeMap<u32, ServiceEntry>,
) -> anyhow::Result<(SocketAddr, Protocol)> {
    let mut found: Vec<&ServiceEntry> = services
        .values()
        .filter(|service| NamespaceArgs::default().admits(&service.key, Some(name)))
        .filter(|service| protocol.is_none_or(|protocol| service.key.protocol == protocol))
        .filter(|service| family.is_none_or(|family| service.key.family == family))
        .collect();
    // A process of this node uses either family.
    if found.iter().any(|service| service.key.family == Family::V4) {
        found.retain(|service| service.key.family == Family::V4);
    }
    let service = match found.as_slice() {
        [] => bail!(
            "service {name}: the kernel holds none of that name for this client's IP family and protocol; \
             `netproxy services` lists what there is"
        ),
        [one] => one,
        several => {
            let names: Vec<_> = several
                .iter()
                .map(|service| {
                    let key = &service.key;
                    format!("{} ({})", service_name::shown(key), key.protocol)
                })
                .collect();
            bail!(
                "service {name}: these are several service ports; name one of {}",
                names.join(", ")
            )
        }
    };
    let frontends = view.frontends()?;
    let frontend = frontends
        .iter()
        .filter(|frontend| frontend.service == service.id)
        .find(|frontend| frontend.kind == FrontendKind::ClusterIp);
    let place = frontend.and_then(|frontend| Some((frontend.address?, frontend.port)));
    let place = place.with_context(|| {
        format!("service {name}: it has no cluster IP here; give an address and a port")
    })?;
    Ok((place.into(), service.key.protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_with_or_without_a_port_or_the_host() {
        let address = "192.0.2.7".parse().unwrap();

        assert_eq!("host".parse(), Ok(Asker::Host));
        assert_eq!("192.0.2.7".parse(), Ok(Asker::Address(address, None)));
        assert_eq!(
            "192.0.2.7:4000".parse(),
            Ok(Asker::Address(address, Some(4000)))
        );
        assert!("[2001:db8::1]:4000".parse::<Asker>().is_ok());
        assert!("shop/web".parse::<Asker>().is_err());
    }

    #[test]
    fn what_is_asked_for_is_an_address_with_a_port_or_a_service() {
        assert_eq!(
            "10.96.0.1:80".parse(),
            Ok(Asked::Place("10.96.0.1:80".parse().unwrap()))
        );
        assert_eq!(
            "shop/web:http".parse(),
            Ok(Asked::Service("shop/web:http".parse().unwrap()))
        );
        let error = "10.96.0.1".parse::<Asked>().unwrap_err();
        assert!(error.contains("10.96.0.1:80"), "{error}");
    }
}
