//! `netproxy flows`: what is being translated.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use netproxy::datapath::{FlowEntry, View};
use netproxy::model::Protocol;
use netproxy::plan::PortKey;
use netproxy_common::{FlowKind, FlowState};
use serde::Serialize;

use super::service_name::{self, NamespaceArgs, ServiceName};
use super::table::{Cell, Listing, OutputArgs, Row, Socket, as_text, duration};

const DETAILS: &str = "\
SOURCE is the client as the endpoint sees it. KIND is one of
  edge    only the destination is translated, where the client's packets enter and leave this host
  whole   source and destination are translated, and packets go past this host's stack
  host    the client is a process of this node
  foreign another proxy began it, and netfilter goes on with it; nothing is translated here
STATE is one of opening, established, closing. ASSURED flows are never evicted for want of room.
EXPIRES is when the flow is forgotten unless another packet comes.
Connections that were balanced at the socket have no flow: their packets are never translated.

With -o json, an array of objects:
  protocol                            TCP, UDP, SCTP
  service_id                          a number
  namespace, name, port_name          of the service; null when it has been removed since
  client, frontend, endpoint, source  {address, port}
  kind, state                         as above
  is_assured                          true or false
  expires_s                           seconds

Examples:
  netproxy flows --client 10.0.0.7
  netproxy flows --service shop/cart --state established
  netproxy flows --protocol udp -o json | jq length";

/// Which to list.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct FlowsArgs {
    /// Only those of this service
    #[arg(long, value_name = service_name::PLACEHOLDER)]
    service: Option<ServiceName>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    /// Only those of this client
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// Only those to this endpoint
    #[arg(long, value_name = "IP")]
    endpoint: Option<IpAddr>,
    /// Only those of this protocol
    #[arg(long, ignore_case = true, value_parser = protocol_parser())]
    protocol: Option<Protocol>,
    /// Only those in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    #[command(flatten)]
    output: OutputArgs,
}

impl FlowsArgs {
    pub(super) fn run(&self, view: &View, list: &mut Listing<'_>) -> anyhow::Result<()> {
        // Flows first: a service that comes in between is then known by name.
        let flows = view.flows()?.list()?;
        let names: BTreeMap<u32, PortKey> = view
            .services()?
            .into_iter()
            .map(|(id, service)| (id, service.key))
            .collect();
        let rows: Vec<_> = flows
            .iter()
            .map(|flow| (flow, names.get(&flow.service)))
            .filter(|(flow, key)| self.admits(flow, *key))
            .map(|(flow, key)| FlowRow::new(flow, key))
            .collect();
        list.rows(self.output.output, &rows, "no flows")
    }

    fn admits(&self, flow: &FlowEntry, key: Option<&PortKey>) -> bool {
        let Self {
            service,
            namespace,
            client,
            endpoint,
            protocol,
            state,
            output: _,
        } = self;
        key.map_or(service.is_none() && namespace.is_unset(), |key| {
            namespace.admits(key, service.as_ref())
        }) && client.is_none_or(|client| flow.client.ip() == client)
            && endpoint.is_none_or(|endpoint| flow.endpoint.ip() == endpoint)
            && protocol.is_none_or(|protocol| flow.protocol == protocol)
            && state.is_none_or(|state| State::from(flow.state) == state)
    }
}

pub(super) fn protocol_parser() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(["tcp", "udp", "sctp"]).map(|name| {
        match name.to_ascii_lowercase().as_str() {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
        }
    })
}

/// Where a flow is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// The client has not yet answered the endpoint
    Opening,
    /// Both sides have been heard
    Established,
    /// Both sides have ended it, or one has reset it
    Closing,
}

impl From<FlowState> for State {
    fn from(state: FlowState) -> Self {
        match state {
            FlowState::Opening => Self::Opening,
            FlowState::Established => Self::Established,
            FlowState::Closing => Self::Closing,
        }
    }
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Established => "established",
            Self::Closing => "closing",
        }
    }
}

/// One flow.
#[derive(Debug, Serialize)]
struct FlowRow {
    #[serde(serialize_with = "as_text")]
    protocol: Protocol,
    service_id: u32,
    namespace: Option<String>,
    name: Option<String>,
    port_name: Option<String>,
    client: Socket,
    frontend: Socket,
    endpoint: Socket,
    source: Socket,
    kind: &'static str,
    state: State,
    is_assured: bool,
    expires_s: u32,
    #[serde(skip)]
    shown: String,
}

impl FlowRow {
    fn new(flow: &FlowEntry, key: Option<&PortKey>) -> Self {
        let FlowEntry {
            protocol,
            client,
            frontend,
            endpoint,
            source,
            kind,
            state,
            is_assured,
            service,
            expires_s,
        } = *flow;
        Self {
            protocol,
            service_id: service,
            namespace: key.map(|key| key.service.namespace.to_string()),
            name: key.map(|key| key.service.name.to_string()),
            port_name: key.map(|key| key.port.to_string()),
            client: client.into(),
            frontend: frontend.into(),
            endpoint: endpoint.into(),
            source: source.into(),
            kind: match kind {
                FlowKind::Edge => "edge",
                FlowKind::Whole => "whole",
                FlowKind::Host => "host",
                FlowKind::Foreign => "foreign",
            },
            state: state.into(),
            is_assured,
            expires_s,
            shown: key.map_or_else(|| format!("removed (id {service})"), service_name::shown),
        }
    }
}

impl Row for FlowRow {
    const HEAD: &'static [&'static str] = &[
        "PROTOCOL", "CLIENT", "SERVICE", "FRONTEND", "ENDPOINT", "SOURCE", "KIND", "STATE",
        "ASSURED", "EXPIRES",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.protocol.to_string().into(),
            self.client.to_string().into(),
            self.shown.clone().into(),
            self.frontend.to_string().into(),
            self.endpoint.to_string().into(),
            self.source.to_string().into(),
            self.kind.into(),
            self.state.name().into(),
            Cell::yes_or_no(self.is_assured),
            duration(self.expires_s).into(),
        ]
    }
}

#[cfg(test)]
mod tests;
