//! Two labs of the same shape and addresses: one is served by kube-proxy, the other by netproxy, and one
//! API server gives both their objects.
//!
//! ```text
//!  node a: pods a1 a2, host-a │ node b: pods b1 b2, host-b │ outside (whose way to services is a)
//! ```
//!
//! Pods have no shared segment: without `br_netfilter`, kube-proxy does not see what a bridge switches.

use std::{collections::BTreeMap, net::IpAddr, thread};

use anyhow::{Result, anyhow};
use netproxy_lab::{
    Cni, ControlPlane, Lab, Place, Prober, Serve, Traffic,
    control_plane::{Mode, SERVICES_V4, SERVICES_V6},
    probe::{Batch, Probe, Replies},
};

use crate::{
    case::{Family, NodeName, Server},
    generate::SERVERS_PORTS,
    manifest::Addresses,
    slot::OUTER_NETWORKS,
    vantage::{Source, Vantage},
};

/// A lab with servers and probers.
#[derive(Debug)]
pub(crate) struct Twin<'lab> {
    pub(crate) lab: &'lab Lab,
    probers: BTreeMap<Vantage, Prober>,
}

/// How a batch of probes is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As fast as possible, without the sockets that were kept.
    Afresh,
    /// As fast as possible.
    Fast,
    /// So slowly that nobody has a reason to limit refusals.
    Paced,
}

/// Three vantages have one gateway, and netproxy sends one ICMP error a millisecond and CPU at most.
const PACE_MS: u64 = 4;

/// Raises a lab without a proxy.
pub(crate) fn raise(name: &str) -> Result<Lab> {
    Lab::builder(name)
        .node("a", Cni::PointToPoint)
        .pod("a1")
        .pod("a2")
        .node("b", Cni::PointToPoint)
        .pod("b1")
        .pod("b2")
        .client("outside")
        .up()
}

impl<'lab> Twin<'lab> {
    /// Starts servers and probers, and makes the ways.
    pub(crate) fn new(lab: &'lab Lab) -> Result<Self> {
        make_ways(lab)?;
        for server in Server::ALL {
            let mut serve = Serve::new().name(server.name());
            for port in SERVERS_PORTS {
                serve = serve.http(port).udp(port);
            }
            lab.place(place_of(server))?.as_ref().serve(&serve)?;
        }
        let mut probers = BTreeMap::new();
        for vantage in Vantage::ALL {
            let place = lab.place(vantage.place())?;
            tell_icmp_errors(place.as_ref())?;
            probers.insert(vantage, Prober::start(place.as_ref())?);
        }
        for place in ["a2", "b2"] {
            tell_icmp_errors(lab.place(place)?.as_ref())?;
        }
        Ok(Self { lab, probers })
    }

    /// Asks from every vantage at once.
    pub(crate) fn ask(
        &mut self,
        manner: Manner,
        mut probes: BTreeMap<Vantage, Vec<Probe>>,
    ) -> Result<BTreeMap<Vantage, Vec<Replies>>> {
        thread::scope(|scope| {
            let running: Vec<_> = self
                .probers
                .iter_mut()
                .map(|(&vantage, prober)| {
                    let probes = probes.remove(&vantage).unwrap_or_default();
                    let batch = match manner {
                        Manner::Afresh => Batch {
                            forget: true,
                            pace_ms: 0,
                            probes,
                        },
                        Manner::Fast => Batch {
                            forget: false,
                            pace_ms: 0,
                            probes,
                        },
                        Manner::Paced => Batch {
                            forget: false,
                            pace_ms: PACE_MS,
                            probes,
                        },
                    };
                    let ask = move || prober.run(&batch);
                    (vantage, scope.spawn(ask))
                })
                .collect();
            running
                .into_iter()
                .map(|(vantage, thread)| {
                    let replies = thread.join().map_err(|_| anyhow!("a prober panicked"))??;
                    Ok((vantage, replies))
                })
                .collect()
        })
    }

    /// Whose address that is, to one who asked from there.
    pub(crate) fn source(&self, vantage: Vantage, address: IpAddr) -> Source {
        let is_of = |name: &str| {
            let place = self.lab.place(name);
            place.is_ok_and(|place| place.addresses().both().contains(&address))
        };
        if is_of(vantage.place()) {
            return Source::Own;
        }
        let node = NodeName::BOTH.into_iter().find(|node| is_of(node.name()));
        node.map_or(Source::Other(address), Source::Node)
    }

    pub(crate) fn node_ip(&self, node: NodeName, family: Family) -> IpAddr {
        let server = match node {
            NodeName::A => Server::HostA,
            NodeName::B => Server::HostB,
        };
        self.of(server, family)
    }
}

impl Addresses for Twin<'_> {
    fn of(&self, server: Server, family: Family) -> IpAddr {
        let place = self.lab.place(place_of(server));
        let addresses = place.map(|place| place.addresses());
        match (addresses, family) {
            (Ok(addresses), Family::V4) => addresses.v4.into(),
            (Ok(addresses), Family::V6) => addresses.v6.into(),
            (Err(error), _) => unreachable!("every server has its place: {error:#}"),
        }
    }
}

/// Starts kube-proxy on both nodes.
pub(crate) fn start_kube_proxy(lab: &Lab, control_plane: &ControlPlane<'_>) -> Result<()> {
    for node in lab.nodes() {
        control_plane.start_kube_proxy(node, Mode::Nftables)?;
    }
    Ok(())
}

/// The name of the place where a server is.
fn place_of(server: Server) -> &'static str {
    match server {
        Server::HostA => "a",
        Server::HostB => "b",
        _ => server.name(),
    }
}

/// The client's ways to services are through node `a`. What no proxy takes ends in the underlay, or it
/// would go round between that and the node.
fn make_ways(lab: &Lab) -> Result<()> {
    let (client, node) = (lab.client("outside")?, lab.node("a")?);
    for net in OUTER_NETWORKS.into_iter().chain([SERVICES_V4, SERVICES_V6]) {
        client.route_via(net.parse()?, &node)?;
        lab.fabric().ip(&format!("route add blackhole {net}"))?;
    }
    Ok(())
}

/// As many errors as there are reasons for: a limit would make a refusal look like a drop.
fn tell_icmp_errors(place: &dyn Place) -> Result<()> {
    place.namespace().set(&[
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv4/icmp_ratemask", "0"),
        ("ipv4/icmp_msgs_per_sec", "1000000"),
        ("ipv4/icmp_msgs_burst", "100000"),
        ("ipv6/icmp/ratelimit", "0"),
        ("ipv4/ping_group_range", "0 0"),
    ])
}
