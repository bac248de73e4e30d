//! `netproxy explain`: why a service's endpoints are used or not, by whom.
//!
//! It reads the objects themselves and plans as the agent does, so it works without one; what the kernel
//! holds is compared with that.

mod listing;
mod row;

use anyhow::{Context as _, bail};
use clap::Args;
use netproxy::datapath::{DatapathError, Pins, ServiceEntry, View};
use netproxy::model::ObjectName;
use netproxy::plan::{ExplainedPort, Preferred};
use netproxy::store::Store;
use netproxy_common::RangeFlags;
use tokio::runtime;

use self::listing::ObjectsArgs;
use self::row::EndpointRow;
use super::service_name::{self, NamespaceArgs, ServiceName};
use super::table::{Format, Listing, OutputArgs};

const DETAILS: &str = "\
CLIENTS are
  internal        clients of the cluster IP
  external        clients of node ports, load-balancer and external IPs; under
                  externalTrafficPolicy Local only those on this node
  external-local  under externalTrafficPolicy Local: clients from elsewhere
USED tells whether their new connections are sent to the endpoint. Connections that exist go on as
long as their endpoint lives, whatever is told here.

The objects are read as `netproxy run` reads them: from the API server, with the pod's own account or
--kubeconfig, or with --source manifests:DIR from a directory.

With -o json, an array of objects: namespace, name, port_name, protocol, family, address, port, node,
is_local, clients (an array), is_used, reason (ready, last-resort, not-ready, stopped, terminating,
kept, elsewhere, not-hinted), why (the same in words). Every service port has its own objects.

Examples:
  netproxy explain shop/cart
  netproxy explain cart:http --node-name worker-2
  kubectl exec -n kube-system ds/netproxy -- /netproxy explain shop/cart";

/// What to explain.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct ExplainArgs {
    /// The service
    #[arg(value_name = service_name::PLACEHOLDER)]
    service: ServiceName,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    objects: ObjectsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl ExplainArgs {
    pub(super) fn run(self, pins: &Pins, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no network can be used")?;
        let store = runtime.block_on(self.objects.read())?;
        let ports = self.ports(&store)?;
        if self.output.output == Format::Table {
            let held = match View::open(pins) {
                Ok(view) => Some((view.services()?, view)),
                Err(DatapathError::Absent { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            for port in &ports {
                list.line(&told(port))?;
                let in_force = match &held {
                    Some((services, view)) => in_force(view, services.values(), port),
                    None => "not in force: nothing is pinned on this node; is the agent running?"
                        .to_owned(),
                };
                list.line(&format!("  {in_force}"))?;
            }
            list.line("")?;
        }
        let rows: Vec<_> = ports.iter().flat_map(EndpointRow::of_port).collect();
        list.rows(
            self.output.output,
            &rows,
            "no EndpointSlice lists an endpoint",
        )
    }

    /// The service ports asked for, by name.
    fn ports(&self, store: &Store) -> anyhow::Result<Vec<ExplainedPort>> {
        let mut names: Vec<&ObjectName> = store.services().map(|service| &service.name).collect();
        names.sort_unstable();
        let ports: Vec<_> = names
            .into_iter()
            .filter_map(|name| store.explain(name))
            .flatten()
            .filter(|port| self.namespace.admits(port.key(), Some(&self.service)))
            .collect();
        if ports.is_empty() {
            bail!(
                "service {}: there is none that netproxy serves; headless and ExternalName services have no cluster IP, \
                 and those with the label service.kubernetes.io/service-proxy-name are another proxy's",
                self.service
            );
        }
        Ok(ports)
    }
}

/// What holds for all endpoints of the port.
fn told(port: &ExplainedPort) -> String {
    let range = &port.wanted.range;
    let mut facts = vec![format!("{}", port.key())];
    let total = port.endpoints.len();
    let of = |window: netproxy_common::Window| format!("{} of {total}", window.count);
    facts.push(format!("internal clients use {}", of(range.internal)));
    if port.wanted.is_external() {
        facts.push(format!("external {}", of(range.external_cluster)));
    }
    if range.is_external_local {
        facts.push(format!("external-local {}", of(range.external_local)));
    }
    match &port.preferred {
        Some(Preferred::Node(name)) => facts.push(format!("hints prefer those for node {name}")),
        Some(Preferred::Zone(zone)) => facts.push(format!("hints prefer those for zone {zone}")),
        None => {}
    }
    if range.affinity_s > 0 {
        facts.push(format!("clients stick to one for {} s", range.affinity_s));
    }
    facts.join("; ")
}

/// How the kernel chooses among the endpoints. How external clients have theirs is a setting of the agent, which
/// nobody but the kernel tells.
const fn chosen(flags: u8) -> &'static str {
    let is_internal = flags & RangeFlags::CONSISTENT_INTERNAL != 0;
    match (is_internal, flags & RangeFlags::CONSISTENT_EXTERNAL != 0) {
        (false, false) => "chosen at random",
        (false, true) => {
            "external clients have the same on every node, internal ones any at random"
        }
        (true, _) => "clients have the same on every node",
    }
}

/// Whether the kernel, which serves these `services`, holds what is wanted.
fn in_force<'a>(
    view: &View,
    mut services: impl Iterator<Item = &'a ServiceEntry>,
    port: &ExplainedPort,
) -> String {
    let Some(service) = services.find(|entry| entry.key == *port.key()) else {
        return "not in force: the kernel does not know the service; see the agent's log"
            .to_owned();
    };
    let held = view.endpoints(service);
    let range = &port.wanted.range;
    let is_same = held.len() == range.endpoints.len()
        && service.range.segment_ends == range.segment_ends
        && held
            .iter()
            .zip(&range.endpoints)
            .all(|(held, wanted)| (held.address, held.port) == (wanted.address, wanted.port));
    if !is_same {
        return "not in force: the kernel holds other endpoints; if that lasts, see the agent's log"
            .to_owned();
    }
    format!("in force; {}", chosen(service.range.flags))
}
