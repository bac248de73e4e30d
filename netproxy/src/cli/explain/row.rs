//! One endpoint, and the clients that have the same of it.

use std::net::IpAddr;

use netproxy::plan::{ExplainedEndpoint, ExplainedPort, Preferred, Reason};
use serde::Serialize;

use crate::cli::clients::Client;
use crate::cli::named_port::NamedPort;
use crate::cli::table::{Cell, Row};

/// What clients have of an endpoint of a service port.
#[derive(Debug, Serialize)]
pub(super) struct EndpointRow {
    #[serde(flatten)]
    service: NamedPort,
    address: IpAddr,
    port: u16,
    node: Option<String>,
    is_local: bool,
    clients: Vec<Client>,
    is_used: bool,
    reason: &'static str,
    why: String,
    #[serde(skip)]
    socket: String,
}

impl EndpointRow {
    /// Those of a port, in the order of its endpoints.
    pub(super) fn of_port(port: &ExplainedPort) -> impl Iterator<Item = Self> {
        port.endpoints.iter().flat_map(|endpoint| {
            by_reason(endpoint)
                .into_iter()
                .map(|(reason, clients)| Self::new(port, endpoint, reason, clients))
        })
    }

    fn new(
        port: &ExplainedPort,
        endpoint: &ExplainedEndpoint,
        reason: Reason,
        clients: Vec<Client>,
    ) -> Self {
        let key = port.key();
        Self {
            service: key.into(),
            address: endpoint.address,
            port: endpoint.port,
            node: endpoint.node.as_ref().map(ToString::to_string),
            is_local: endpoint.is_local,
            clients,
            is_used: reason.is_used(),
            reason: name(reason),
            why: why(reason, port.preferred.as_ref()),
            socket: endpoint.socket().to_string(),
        }
    }
}

/// The kinds of clients, together where the reason is the same.
fn by_reason(endpoint: &ExplainedEndpoint) -> Vec<(Reason, Vec<Client>)> {
    let of_all = [
        (Client::Internal, Some(endpoint.internal)),
        (Client::External, endpoint.external),
        (Client::ExternalLocal, endpoint.external_local),
    ];
    let mut groups: Vec<(Reason, Vec<Client>)> = Vec::new();
    for (client, reason) in of_all {
        let Some(reason) = reason else {
            continue;
        };
        match groups.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, clients)) => clients.push(client),
            None => groups.push((reason, vec![client])),
        }
    }
    groups
}

const fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Ready => "ready",
        Reason::LastResort => "last-resort",
        Reason::NotReady => "not-ready",
        Reason::Stopped => "stopped",
        Reason::Terminating => "terminating",
        Reason::Kept => "kept",
        Reason::Elsewhere => "elsewhere",
        Reason::NotHinted => "not-hinted",
    }
}

fn why(reason: Reason, preferred: Option<&Preferred>) -> String {
    match reason {
        Reason::Ready => "ready".to_owned(),
        Reason::LastResort => "terminating, but it serves, and nothing is ready".to_owned(),
        Reason::NotReady => "not ready".to_owned(),
        Reason::Stopped => "terminating, and no longer serving".to_owned(),
        Reason::Terminating => "terminating, and others are ready".to_owned(),
        Reason::Kept => "serving, but not ready: keeps the connections it has".to_owned(),
        Reason::Elsewhere => "on another node, and the traffic policy is Local".to_owned(),
        Reason::NotHinted => match preferred {
            Some(Preferred::Node(name)) => format!("ready, but its hints do not name node {name}"),
            Some(Preferred::Zone(zone)) => format!("ready, but its hints do not name zone {zone}"),
            None => "ready, but hints prefer others".to_owned(),
        },
    }
}

impl Row for EndpointRow {
    const HEAD: &'static [&'static str] = &[
        "SERVICE", "PROTOCOL", "ENDPOINT", "NODE", "CLIENTS", "USED", "WHY",
    ];

    fn cells(&self) -> Vec<Cell> {
        let clients: Vec<_> = self.clients.iter().map(|client| client.name()).collect();
        let node = self.node.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            self.service.shown.clone().into(),
            self.service.protocol.to_string().into(),
            self.socket.clone().into(),
            if self.is_local {
                format!("{node} (this)").into()
            } else {
                node.into()
            },
            clients.join(", ").into(),
            Cell::yes_or_no(self.is_used),
            self.why.clone().into(),
        ]
    }
}
