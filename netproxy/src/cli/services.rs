//! `netproxy services`: one row per service port and family.

mod frontend;

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Args;
use ipnet::IpNet;
use netproxy::datapath::{EndpointEntry, FrontendEntry, ServiceEntry, View};
use netproxy_common::{FrontendKind, Range, RangeFlags};
use serde::Serialize;

use self::frontend::Frontend;
use super::clients::{self, Refusal};
use super::named_port::NamedPort;
use super::service_name::{self, NamespaceArgs, ServiceName};
use super::table::{Cell, Listing, OutputArgs, Row, duration};

const DETAILS: &str = "\
ENDPOINTS are those that clients may be sent to / all that are known (on this node).
NOTES tell what is not the default: externalTrafficPolicy Local, client affinity, from where the
load balancer's addresses are open (at most three networks are shown), whose addresses are hidden
from the endpoints, whose flows every node sends to the same endpoint, and clients for whom there is
no endpoint.

With -o json, an array of objects:
  id, generation             numbers
  namespace, name            of the Service
  port_name                  empty for the only, unnamed port
  protocol, family           TCP, UDP, SCTP; IPv4, IPv6
  frontends                  [{kind, address, port}]; kind: ClusterIP, NodePort, LoadBalancer,
                             ExternalIP; the address of a NodePort is null
  endpoints                  {total, local, internal, external_cluster, external_local}: how many
                             there are, are on this node, may serve cluster IPs, may serve external
                             addresses cluster-wide, and under externalTrafficPolicy Local
  external_policy_local      whether externalTrafficPolicy Local applies
  affinity_s                 seconds of client affinity; 0: none
  source_ranges              networks that may reach the LoadBalancer frontends; empty: all may
  masquerade                 {internal, external}: whether the addresses of clients of cluster IPs,
                             and of external addresses, are hidden from the endpoints
  balancing                  {internal, external}: random, or consistent where every node sends a flow
                             to the same endpoint
  refused                    [{clients, answer}]: who finds no endpoint, and is answered how;
                             clients: internal, external, external-local; answer: reject, drop

Examples:
  netproxy services
  netproxy services kubernetes
  netproxy services shop/cart:http
  netproxy services -n kube-system -o json";

/// What to list.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct ServicesArgs {
    /// Only this service
    #[arg(value_name = service_name::PLACEHOLDER)]
    service: Option<ServiceName>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl ServicesArgs {
    pub(super) fn run(&self, view: &View, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let services = select(view, &self.namespace, self.service.as_ref())?;
        let mut frontends: BTreeMap<u32, Vec<FrontendEntry>> = BTreeMap::new();
        for frontend in view.frontends()? {
            frontends
                .entry(frontend.service)
                .or_default()
                .push(frontend);
        }
        let source_ranges = view.source_ranges()?;
        let rows: Vec<_> = services
            .iter()
            .map(|service| {
                let frontends = frontends.get(&service.id).map_or(&[][..], Vec::as_slice);
                let set = (service.key.family, service.range.source_ranges);
                let ranges = source_ranges.get(&set).map_or(&[][..], Vec::as_slice);
                ServiceRow::new(service, &view.endpoints(service), frontends, ranges)
            })
            .collect();
        list.rows(self.output.output, &rows, "no services")
    }
}

/// The service ports asked for, by name.
///
/// # Errors
/// The maps cannot be read, or a name was given and there is no such service.
pub(super) fn select(
    view: &View,
    namespace: &NamespaceArgs,
    name: Option<&ServiceName>,
) -> anyhow::Result<Vec<ServiceEntry>> {
    let mut services: Vec<_> = view
        .services()?
        .into_values()
        .filter(|service| namespace.admits(&service.key, name))
        .collect();
    if let (Some(name), true) = (name, services.is_empty()) {
        bail!(
            "service {name}: not known to the datapath (headless and ExternalName services never \
             are); `netproxy services` lists those that are"
        );
    }
    services.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(services)
}

/// How many source ranges a note shows.
const SHOWN_RANGES: usize = 3;

/// One service port in one family.
#[derive(Debug, Serialize)]
struct ServiceRow {
    id: u32,
    generation: u32,
    #[serde(flatten)]
    service: NamedPort,
    frontends: Vec<Frontend>,
    endpoints: Counts,
    external_policy_local: bool,
    affinity_s: u32,
    source_ranges: Vec<String>,
    masquerade: Masqueraded,
    balancing: Balanced,
    refused: Vec<Refusal>,
    #[serde(skip)]
    usable: u32,
}

/// Whose addresses are hidden from the endpoints.
#[derive(Debug, Serialize)]
struct Masqueraded {
    internal: bool,
    external: bool,
}

/// How endpoints are chosen.
#[derive(Debug, Serialize)]
struct Balanced {
    internal: &'static str,
    external: &'static str,
}

impl Balanced {
    const CONSISTENT: &str = "consistent";

    fn of(range: &Range) -> Self {
        let name = |flag| {
            if range.flags & flag != 0 {
                Self::CONSISTENT
            } else {
                "random"
            }
        };
        Self {
            internal: name(RangeFlags::CONSISTENT_INTERNAL),
            external: name(RangeFlags::CONSISTENT_EXTERNAL),
        }
    }
}

/// Numbers of endpoints.
#[derive(Debug, Serialize)]
struct Counts {
    total: usize,
    local: usize,
    internal: u32,
    external_cluster: u32,
    external_local: u32,
}

impl ServiceRow {
    fn new(
        service: &ServiceEntry,
        endpoints: &[EndpointEntry],
        frontends: &[FrontendEntry],
        source_ranges: &[IpNet],
    ) -> Self {
        let ServiceEntry {
            id,
            key,
            generation,
            range,
        } = service;
        let has_external = frontends
            .iter()
            .any(|frontend| frontend.kind != FrontendKind::ClusterIp);
        Self {
            id: *id,
            generation: *generation,
            service: key.into(),
            frontends: frontends.iter().map(Frontend::from).collect(),
            endpoints: Counts {
                total: endpoints.len(),
                local: endpoints.iter().filter(|entry| entry.is_local).count(),
                internal: range.internal.count,
                external_cluster: range.external_cluster.count,
                external_local: range.external_local.count,
            },
            external_policy_local: range.flags & RangeFlags::EXTERNAL_LOCAL != 0,
            affinity_s: range.affinity_s,
            source_ranges: source_ranges.iter().map(ToString::to_string).collect(),
            masquerade: Masqueraded {
                internal: range.flags & RangeFlags::MASQUERADE_INTERNAL != 0,
                external: range.flags & RangeFlags::MASQUERADE_EXTERNAL != 0,
            },
            balancing: Balanced::of(range),
            refused: clients::refusals(range, has_external),
            usable: clients::usable(range),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.external_policy_local {
            notes.push("external Local".to_owned());
        }
        if self.affinity_s > 0 {
            notes.push(format!("affinity {}", duration(self.affinity_s)));
        }
        if !self.source_ranges.is_empty() {
            let shown = self.source_ranges.len().min(SHOWN_RANGES);
            let shown = self.source_ranges[..shown].join(" ");
            let more = match self.source_ranges.len().saturating_sub(SHOWN_RANGES) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            notes.push(format!("open to {shown}{more}"));
        }
        match self.masquerade {
            Masqueraded { internal: true, .. } => notes.push("clients hidden".to_owned()),
            Masqueraded { external: true, .. } => notes.push("external clients hidden".to_owned()),
            Masqueraded { .. } => {}
        }
        let is_consistent = |name| name == Balanced::CONSISTENT;
        let Balanced { internal, external } = self.balancing;
        match (is_consistent(internal), is_consistent(external)) {
            (true, _) => notes.push("balanced consistently".to_owned()),
            (false, true) => notes.push("external balanced consistently".to_owned()),
            (false, false) => {}
        }
        if self.endpoints.total == 0 {
            notes.push("no endpoint: rejected".to_owned());
        } else {
            notes.extend(self.refused.iter().map(|refusal| {
                let Refusal { clients, answer } = refusal;
                format!("{} clients {}", clients.name(), answer.name())
            }));
        }
        notes
    }
}

impl Row for ServiceRow {
    const HEAD: &'static [&'static str] = &[
        "SERVICE",
        "PROTOCOL",
        "FAMILY",
        "FRONTENDS",
        "ENDPOINTS",
        "NOTES",
    ];

    fn cells(&self) -> Vec<Cell> {
        let Counts { total, local, .. } = self.endpoints;
        vec![
            self.service.shown.clone().into(),
            self.service.protocol.to_string().into(),
            self.service.family.to_string().into(),
            Cell::List(self.frontends.iter().map(ToString::to_string).collect()),
            format!("{}/{total} ({local} local)", self.usable).into(),
            Cell::List(self.notes()),
        ]
    }
}

#[cfg(test)]
mod tests;
