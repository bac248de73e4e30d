//! Hairpin: a pod that reaches itself through a Service.

use anyhow::{Result, ensure};
use netproxy_lab::{Cni, Lab, Serve, Traffic};

use crate::{
    cluster::Cluster,
    shape,
    shop::{Offer, addresses_of},
};

#[test]
fn a_pod_reaches_itself_and_sees_the_node_as_its_client() -> Result<()> {
    shape::in_each(&shape::ALIKE, |cni, _| {
        Cluster::run(one_node("hairpin", cni), |cluster| {
            let pod = cluster.lab.pod("web")?;
            pod.serve(&Serve::new().http(8080).udp(5353))?;
            let offer = Offer::new("web", 1)?.endpoint(&pod);
            cluster.put(&offer.service)?;
            let own = addresses_of(&cluster.lab.node("a")?)?;
            let node = cluster.lab.node("a")?;
            for door in offer
                .at_cluster_ips()
                .into_iter()
                .chain(offer.at_node(&node))
            {
                let clients = door.is_answered_by(&pod, &offer.endpoints, 5)?;
                ensure!(
                    clients.is_subset(&own),
                    "the pod sees {clients:?}, and not the node"
                );
            }
            Ok(())
        })
    })
}

#[test]
fn a_pod_reaches_itself_and_its_neighbour_through_one_service() -> Result<()> {
    shape::in_each(&shape::ALIKE, |cni, _| {
        Cluster::run(one_node("hairpin-two", cni).pod("other"), |cluster| {
            let (pod, other) = (cluster.lab.pod("web")?, cluster.lab.pod("other")?);
            for pod in [&pod, &other] {
                pod.serve(&Serve::new().http(8080).udp(5353))?;
            }
            let offer = Offer::new("web", 1)?.endpoint(&pod).endpoint(&other);
            cluster.put(&offer.service)?;
            for door in offer.at_cluster_ips() {
                // Each of 20 requests misses one of two endpoints with 1 in 2: all do with 1 in 10^6.
                door.is_answered_by(&pod, &offer.endpoints, 20)?;
            }
            Ok(())
        })
    })
}

fn one_node(name: &str, cni: Cni) -> netproxy_lab::Builder {
    Lab::builder(name).node("a", cni).pod("web")
}
