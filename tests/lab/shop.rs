//! The Services that most rules are shown on: `near` has an endpoint on node `a`, `far` one on node
//! `b`, `both` has the two. Each is served by HTTP (port 80) and UDP (port 53), at cluster IPs,
//! `NodePorts`, an external IP and a load balancer's, in both families.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{
    Addresses, Answers, Builder, Client, EndpointObject, Node, Place, Pod, Port, Serve,
    ServiceObject, Traffic, url,
};

use crate::cluster::Cluster;

/// A Service, and who answers for it.
pub(crate) struct Offer {
    pub(crate) service: ServiceObject,
    pub(crate) cluster_ips: [IpAddr; 2],
    pub(crate) external_ips: [IpAddr; 2],
    pub(crate) load_balancer_ips: [IpAddr; 2],
    pub(crate) http_node_port: u16,
    pub(crate) udp_node_port: u16,
    pub(crate) endpoints: BTreeSet<String>,
}

impl Offer {
    /// The Service number `number` (from 1), without endpoints.
    pub(crate) fn new(name: &str, number: u8) -> Result<Self> {
        let cluster_ips = [format!("10.96.0.{number}"), format!("fd10:96::{number}")];
        let external_ips = [format!("192.0.2.{number}"), format!("2001:db8::{number}")];
        let load_balancer_ips = [
            format!("198.51.100.{number}"),
            format!("2001:db8:1::{number}"),
        ];
        let parsed = |[v4, v6]: &[String; 2]| anyhow::Ok([v4.parse()?, v6.parse()?]);
        let (external_ips, load_balancer_ips) =
            (parsed(&external_ips)?, parsed(&load_balancer_ips)?);
        let (http_node_port, udp_node_port) =
            (30_000 + u16::from(number), 31_000 + u16::from(number));
        let mut service = ServiceObject::new("shop", name)
            .cluster_ips(&[&cluster_ips[0], &cluster_ips[1]])
            .port(Port::tcp("http", 80).target(8080).node_port(http_node_port))
            .port(Port::udp("dns", 53).target(5353).node_port(udp_node_port));
        for (external, balanced) in external_ips.into_iter().zip(load_balancer_ips) {
            service = service.external_ip(external).load_balancer_ip(balanced);
        }
        Ok(Self {
            service,
            cluster_ips: parsed(&cluster_ips)?,
            external_ips,
            load_balancer_ips,
            http_node_port,
            udp_node_port,
            endpoints: BTreeSet::new(),
        })
    }

    /// Adds a pod, or a process of a node, to its endpoints.
    pub(crate) fn endpoint<'a, P: Place>(mut self, place: &'a P) -> Self
    where
        EndpointObject: From<&'a P>,
    {
        self.service = self.service.endpoint(place);
        self.endpoints.insert(place.name().to_owned());
        self
    }

    /// Where it is served in the cluster.
    pub(crate) fn at_cluster_ips(&self) -> [Door; 2] {
        self.cluster_ips.map(|ip| Door {
            http: SocketAddr::new(ip, 80),
            udp: SocketAddr::new(ip, 53),
        })
    }

    /// Where a node serves it to the outside.
    pub(crate) fn at_node(&self, node: &Node) -> [Door; 2] {
        self.at_node_ports(node.addresses())
    }

    /// Its `NodePorts` at other addresses.
    pub(crate) fn at_node_ports(&self, addresses: Addresses) -> [Door; 2] {
        addresses.both().map(|ip| Door {
            http: SocketAddr::new(ip, self.http_node_port),
            udp: SocketAddr::new(ip, self.udp_node_port),
        })
    }

    /// Where it is served at one of its `externalIPs` or a load balancer's address.
    pub(crate) fn at(address: IpAddr) -> Door {
        Door {
            http: SocketAddr::new(address, 80),
            udp: SocketAddr::new(address, 53),
        }
    }
}

/// An address at which a Service is asked, by TCP and UDP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    pub(crate) http: SocketAddr,
    pub(crate) udp: SocketAddr,
}

impl Door {
    /// For requests.
    pub(crate) fn url(self) -> String {
        url(self.http.ip(), self.http.port())
    }

    /// Asks by TCP and by UDP, `count` times each, and holds that all is answered, by all of the
    /// endpoints and nobody else, and that the client sees nobody but the address that it asked.
    /// Answers with whom the endpoints saw.
    pub(crate) fn is_answered_by(
        self,
        from: &dyn Place,
        endpoints: &BTreeSet<String>,
        count: usize,
    ) -> Result<BTreeSet<IpAddr>> {
        let what = || format!("{} asks {self:?}", from.name());
        let http = from.get(&self.url(), count).with_context(what)?;
        let mut clients = whole(http, self.http, endpoints).with_context(what)?;
        let udp = from.ask(self.udp, count).with_context(what)?;
        clients.extend(whole(udp, self.udp, endpoints).with_context(what)?);
        Ok(clients)
    }
}

fn whole(
    answers: Answers,
    asked: SocketAddr,
    endpoints: &BTreeSet<String>,
) -> Result<BTreeSet<IpAddr>> {
    let answers = answers.all_answered()?;
    let seen: BTreeSet<String> = answers.by_endpoint.keys().cloned().collect();
    is("who answered", &seen, endpoints)?;
    is("whom the client sees", &answers.peers, &[asked].into())?;
    Ok(answers.clients)
}

/// Holds that two values are the same.
pub(crate) fn is<T: Debug + PartialEq>(what: &str, found: &T, wanted: &T) -> Result<()> {
    ensure!(found == wanted, "{what}: {found:?}, and not {wanted:?}");
    Ok(())
}

/// A cluster with the offers, served.
pub(crate) struct Shop {
    pub(crate) cluster: Cluster,
    pub(crate) near: Offer,
    pub(crate) far: Offer,
    pub(crate) both: Offer,
}

impl Shop {
    /// Brings up a lab of [`crate::shape::two_nodes`] with agents, servers and the Services.
    pub(crate) fn open(builder: Builder) -> Result<Self> {
        Self::open_in(Cluster::up(builder)?)
    }

    /// Starts the servers and opens the Services.
    pub(crate) fn open_in(cluster: Cluster) -> Result<Self> {
        let (web_a, web_b) = (cluster.lab.pod("web-a")?, cluster.lab.pod("web-b")?);
        for pod in [&web_a, &web_b] {
            pod.serve(&Serve::new().http(8080).udp(5353))?;
        }
        let shop = Self {
            near: Offer::new("near", 1)?.endpoint(&web_a),
            far: Offer::new("far", 2)?.endpoint(&web_b),
            both: Offer::new("both", 3)?.endpoint(&web_a).endpoint(&web_b),
            cluster,
        };
        shop.cluster.hold(|| {
            let offers = [&shop.near, &shop.far, &shop.both];
            for offer in offers {
                shop.cluster.objects.put(&offer.service)?;
            }
            offers
                .iter()
                .try_for_each(|offer| shop.cluster.await_served(&offer.service))
        })?;
        Ok(shop)
    }

    /// Holds that pods, processes and the outside reach every Service at every door that they have.
    pub(crate) fn is_open(&self) -> Result<()> {
        let (shell, outside, node) = (self.shell()?, self.outside()?, self.node("a")?);
        for offer in [&self.near, &self.far] {
            for door in offer.at_cluster_ips() {
                door.is_answered_by(&shell, &offer.endpoints, 3)?;
                door.is_answered_by(&node, &offer.endpoints, 3)?;
            }
            for door in offer.at_node(&node) {
                door.is_answered_by(&shell, &offer.endpoints, 3)?;
                door.is_answered_by(&outside, &offer.endpoints, 3)?;
            }
        }
        // Of itself, too.
        let web = self.cluster.lab.pod("web-a")?;
        for door in self.both.at_cluster_ips() {
            door.is_answered_by(&web, &self.both.endpoints, 30)?;
        }
        Ok(())
    }

    /// A pod on node `a`, which serves nothing.
    pub(crate) fn shell(&self) -> Result<Pod> {
        self.cluster.lab.pod("shell")
    }

    /// The machine outside of the cluster.
    pub(crate) fn outside(&self) -> Result<Client> {
        self.cluster.lab.client("outside")
    }

    /// A node.
    pub(crate) fn node(&self, name: &str) -> Result<Node> {
        self.cluster.lab.node(name)
    }
}

/// Every address that a node has.
pub(crate) fn addresses_of(node: &Node) -> Result<BTreeSet<IpAddr>> {
    let text = node.run(&["ip", "-json", "address"])?;
    let links: Vec<serde_json::Value> = serde_json::from_str(&text)?;
    let addresses = links
        .iter()
        .filter_map(|link| link["addr_info"].as_array())
        .flatten()
        .filter_map(|info| info["local"].as_str()?.parse().ok());
    Ok(addresses.collect())
}
