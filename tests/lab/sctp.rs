//! Associations of the kernel's own SCTP, where it has one.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Get, Node, Place, Port, Serve, ServiceObject, Traffic};

use crate::{cluster::Cluster, shape::two_nodes, shop::is};

/// Enough for segments that the sender's kernel leaves together.
const BYTES: u64 = 1_000_000;
/// For three requests in an emulated machine.
const LONGEST: Duration = Duration::from_secs(20);
const PORT: u16 = 80;
const NODE_PORT: u16 = 30_090;

/// Who computes the checksums of packets: a device whose place says that it does may leave it to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Computes {
    /// Nobody; receivers know that the packet has crossed no wire.
    Nobody,
    /// The devices of the nodes, after the translation of what leaves by them.
    Nodes,
    /// The senders' sockets, and receivers look.
    Senders,
}

/// A service with one endpoint.
struct Offer {
    endpoint: &'static str,
    number: u16,
}

impl Offer {
    fn new(cluster: &Cluster, endpoint: &'static str, number: u16) -> Result<Self> {
        let pod = cluster.lab.pod(endpoint)?;
        pod.serve(&Serve::new().sctp(8080))?;
        let addresses = [format!("10.96.0.{number}"), format!("fd10:96::{number}")];
        let port = Port::sctp("sctp", PORT).target(8080);
        let service = ServiceObject::new("shop", endpoint)
            .cluster_ips(&[&addresses[0], &addresses[1]])
            .port(port.node_port(NODE_PORT + number))
            .endpoint(&pod);
        cluster.put(&service)?;
        Ok(Self { endpoint, number })
    }

    fn at_cluster_ips(&self) -> Result<[SocketAddr; 2]> {
        let number = self.number;
        let v4 = format!("10.96.0.{number}:{PORT}").parse()?;
        let v6 = format!("[fd10:96::{number}]:{PORT}").parse()?;
        Ok([v4, v6])
    }

    fn at_node(&self, node: &Node) -> [SocketAddr; 2] {
        let port = NODE_PORT + self.number;
        node.internal_ips().map(|ip| SocketAddr::new(ip, port))
    }

    /// Holds that associations through `door` reach the endpoint.
    fn answers(&self, from: &dyn Place, door: SocketAddr) -> Result<()> {
        // A node has more addresses than one, and SCTP would tell the endpoint of all.
        let own = SocketAddr::new(from.address_like(door.ip()), 0);
        let get = Get::new(&url(door)).count(3).from(own).timeout(LONGEST);
        let answers = from.get_with(&get)?.all_answered()?;
        let endpoints: Vec<_> = answers.by_endpoint.into_keys().collect();
        is("who answered", &endpoints, &vec![self.endpoint.to_owned()])?;
        is("whom the client sees", &answers.peers, &[door].into())
    }

    /// The same, and that many bytes go both ways.
    fn carries(&self, from: &dyn Place, door: SocketAddr) -> Result<()> {
        self.answers(from, door)?;
        let url = url(door);
        for transfer in [from.upload(&url, BYTES)?, from.download(&url, BYTES)?] {
            ensure!(
                transfer.is_intact() && transfer.bytes == BYTES,
                "{transfer:?}"
            );
        }
        Ok(())
    }
}

fn url(door: SocketAddr) -> String {
    format!("sctp://{door}/")
}

#[test]
#[ignore = "needs the kernel's SCTP: cargo xtask test kernel"]
fn associations_reach_endpoints_by_flows_of_every_kind_whoever_computes_checksums() -> Result<()> {
    let cluster = Cluster::up(two_nodes("sctp", Cni::PointToPoint, Cni::Bridge))?;
    cluster.hold(|| {
        let near = Offer::new(&cluster, "web-a", 1)?;
        let far = Offer::new(&cluster, "web-b", 2)?;
        let (shell, web) = (cluster.lab.pod("shell")?, cluster.lab.pod("web-a")?);
        let (outside, node) = (cluster.lab.client("outside")?, cluster.lab.node("a")?);
        for computes in [Computes::Nobody, Computes::Senders, Computes::Nodes] {
            arrange(&cluster, computes)?;
            let what = |kind: &str, door| format!("{kind} through {door}, {computes:?} computes");
            for door in near.at_cluster_ips()? {
                let what = |kind| what(kind, door);
                near.carries(&shell, door).with_context(|| what("here"))?;
                near.carries(&web, door).with_context(|| what("hairpin"))?;
            }
            for door in far.at_cluster_ips()? {
                let what = |kind| what(kind, door);
                far.carries(&shell, door).with_context(|| what("edge"))?;
                far.answers(&node, door).with_context(|| what("host"))?;
            }
            for door in near.at_node(&node) {
                let what = || what("from outside", door);
                near.carries(&outside, door).with_context(what)?;
            }
            for door in far.at_node(&node) {
                let what = || what("whole", door);
                far.carries(&outside, door).with_context(what)?;
            }
        }
        Ok(())
    })
}

fn arrange(cluster: &Cluster, computes: Computes) -> Result<()> {
    let set = |place: &dyn Place, is_left_to_it: bool| {
        let to = if is_left_to_it { "on" } else { "off" };
        let words = ["ethtool", "-K", "eth0", "tx-checksum-sctp", to];
        place.run(&words).map(drop)
    };
    for node in cluster.lab.nodes() {
        set(node, computes == Computes::Nobody)?;
        for pod in node.pods() {
            set(&pod, computes != Computes::Senders)?;
        }
    }
    set(
        &cluster.lab.client("outside")?,
        computes != Computes::Senders,
    )
}
