//! `netproxy endpoints`: who answers for a service, and to whom.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use netproxy::datapath::{EndpointEntry, ServiceEntry, View};
use netproxy_common::Range;
use serde::Serialize;

use super::clients::{self, Client};
use super::named_port::NamedPort;
use super::service_name::{self, NamespaceArgs, ServiceName};
use super::services;
use super::table::{Cell, Listing, OutputArgs, Row};

const DETAILS: &str = "\
STATE is one of
  ready         new connections may be sent there
  hinted        ready, and preferred by topology hints to others that are merely ready
  terminating   still serving: used when nothing is ready
  kept          serving but not ready: keeps the connections it has, gets no new ones
CLIENTS are those whose new connections may be sent there now
  internal        clients of the cluster IP
  external        clients of node ports, load-balancer and external IPs; under
                  externalTrafficPolicy Local only those on this node
  external-local  under externalTrafficPolicy Local: clients from elsewhere

With -o json, an array of objects: namespace, name, port_name, protocol, family, address, port,
is_local, state, clients (an array). Every service port has its own objects.

Examples:
  netproxy endpoints shop/cart
  netproxy endpoints -n kube-system
  netproxy endpoints cart:http -o json";

/// What to list.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct EndpointsArgs {
    /// Only those of this service
    #[arg(value_name = service_name::PLACEHOLDER)]
    service: Option<ServiceName>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl EndpointsArgs {
    pub(super) fn run(&self, view: &View, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let services = services::select(view, &self.namespace, self.service.as_ref())?;
        let rows: Vec<_> = services
            .iter()
            .flat_map(|service| {
                view.endpoints(service)
                    .into_iter()
                    .map(|endpoint| EndpointRow::new(service, endpoint))
            })
            .collect();
        list.rows(self.output.output, &rows, "no endpoints")
    }
}

/// One endpoint of one service port.
#[derive(Debug, Serialize)]
struct EndpointRow {
    #[serde(flatten)]
    service: NamedPort,
    address: IpAddr,
    port: u16,
    is_local: bool,
    state: State,
    clients: Vec<Client>,
}

/// What an endpoint is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// For new connections.
    Ready,
    /// For new connections, before those that are merely ready.
    Hinted,
    /// For new connections if nothing is ready.
    Terminating,
    /// For the connections it has.
    Kept,
}

impl State {
    /// The state of the endpoints in a segment, in the order of `netproxy_common::Range`. Without
    /// hints every ready endpoint stands among the hinted, and there is nothing to tell apart.
    fn of_segment(range: &Range, segment: usize) -> Self {
        let [local_unhinted, _, remote_hinted, remote_unhinted, ..] = range.segment_ends;
        let has_hints = local_unhinted > 0 || remote_unhinted > remote_hinted;
        match segment {
            1 | 2 if has_hints => Self::Hinted,
            0..=3 => Self::Ready,
            4 | 5 => Self::Terminating,
            _ => Self::Kept,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Hinted => "hinted",
            Self::Terminating => "terminating",
            Self::Kept => "kept",
        }
    }
}

impl EndpointRow {
    fn new(service: &ServiceEntry, endpoint: EndpointEntry) -> Self {
        let ServiceEntry {
            id: _,
            key,
            generation: _,
            range,
        } = service;
        let EndpointEntry {
            address,
            port,
            is_local,
            segment,
        } = endpoint;
        Self {
            service: key.into(),
            address,
            port,
            is_local,
            state: State::of_segment(range, segment),
            clients: clients::of_segment(range, segment),
        }
    }
}

impl Row for EndpointRow {
    const HEAD: &'static [&'static str] = &[
        "SERVICE", "PROTOCOL", "ENDPOINT", "NODE", "STATE", "CLIENTS",
    ];

    fn cells(&self) -> Vec<Cell> {
        let clients: Vec<_> = self.clients.iter().map(|client| client.name()).collect();
        vec![
            self.service.shown.clone().into(),
            self.service.protocol.to_string().into(),
            SocketAddr::new(self.address, self.port).to_string().into(),
            if self.is_local { "local" } else { "remote" }.into(),
            self.state.name().into(),
            if clients.is_empty() {
                "none".into()
            } else {
                clients.join(", ").into()
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use netproxy::model::{Family, ObjectName, Protocol};
    use netproxy::plan::PortKey;
    use serde_json::json;

    use super::super::clients::tests::{range, window};
    use super::super::table::tests::texts;
    use super::*;

    fn row(range: Range, segment: usize) -> EndpointRow {
        let service = ServiceEntry {
            id: 7,
            key: PortKey {
                service: ObjectName::new("shop", "cart"),
                port: "".into(),
                protocol: Protocol::Sctp,
                family: Family::V6,
            },
            generation: 3,
            range,
        };
        let endpoint = EndpointEntry {
            address: "fd00::2".parse().unwrap(),
            port: 8080,
            is_local: false,
            segment,
        };
        EndpointRow::new(&service, endpoint)
    }

    #[test]
    fn a_row_tells_who_is_served() {
        let range = Range {
            internal: window(0, 1),
            ..range([0, 0, 1, 0, 0, 0, 1])
        };

        let ready = texts(row(range, 2).cells());
        let kept = texts(row(range, 6).cells());

        assert_eq!(
            ready,
            [
                "shop/cart",
                "SCTP",
                "[fd00::2]:8080",
                "remote",
                "ready",
                "internal"
            ]
        );
        assert_eq!(&kept[4..], ["kept", "none"]);
    }

    #[test]
    fn hints_are_told_only_where_they_tell_endpoints_apart() {
        let with_hints = range([0, 1, 0, 1, 0, 0, 0]);
        let without = range([0, 1, 1, 0, 1, 0, 0]);

        let states = |range: &Range| [0, 1, 2, 3, 4].map(|at| State::of_segment(range, at).name());

        assert_eq!(
            states(&with_hints),
            ["ready", "hinted", "hinted", "ready", "terminating"]
        );
        assert_eq!(states(&without)[1..3], ["ready", "ready"]);
    }

    #[test]
    fn the_json_object_has_the_documented_fields() {
        let range = Range {
            internal: window(0, 1),
            external_cluster: window(0, 1),
            ..range([0, 0, 1, 0, 0, 0, 0])
        };

        assert_eq!(
            serde_json::to_value(row(range, 2)).unwrap(),
            json!({
                "namespace": "shop",
                "name": "cart",
                "port_name": "",
                "protocol": "SCTP",
                "family": "IPv6",
                "address": "fd00::2",
                "port": 8080,
                "is_local": false,
                "state": "ready",
                "clients": ["internal", "external"],
            })
        );
    }
}
