//! Hairpin: a pod that reaches itself through a Service.

use anyhow::{Result, ensure};

use crate::{shape, shop::addresses_of};

#[test]
fn a_pod_reaches_itself_and_sees_the_node_as_its_client() -> Result<()> {
    shape::in_each(|shop| {
        for (pod, node, offer) in [("web-a", "a", &shop.near), ("web-b", "b", &shop.far)] {
            let (pod, node) = (shop.cluster.lab.pod(pod)?, shop.node(node)?);
            let own = addresses_of(&node)?;
            for door in offer
                .at_cluster_ips()
                .into_iter()
                .chain(offer.at_node(&node))
            {
                let clients = door.is_answered_by(&pod, &offer.endpoints, 5)?;
                ensure!(
                    clients.is_subset(&own),
                    "the pod sees {clients:?}, and not its node"
                );
            }
        }
        Ok(())
    })
}

#[test]
fn a_pod_reaches_itself_and_others_through_one_service() -> Result<()> {
    shape::in_each(|shop| {
        let pod = shop.cluster.lab.pod("web-a")?;
        for door in shop.both.at_cluster_ips() {
            // That 30 requests all go to the same of two endpoints happens once in 500 million times.
            door.is_answered_by(&pod, &shop.both.endpoints, 30)?;
        }
        Ok(())
    })
}
