//! Agents that die and come back while traffic runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use netproxy_lab::{AgentOptions, Cni, Load, Place, Traffic, wait_until};

use crate::{
    cluster::{Cluster, LONGEST},
    shape::{self, two_nodes},
    shop::{Offer, Shop},
};

#[test]
fn no_request_fails_while_agents_are_killed_and_restarted() -> Result<()> {
    shape::of_each_kind(|cni| {
        let shop = Shop::open(two_nodes("killed", cni, cni))?;
        shop.cluster.hold(|| no_request_fails(&shop))
    })
}

#[test]
fn no_request_fails_with_filters_on_clsact_either() -> Result<()> {
    let lab = two_nodes("killed-clsact", Cni::Bridge, Cni::Bridge);
    let clsact = |options: AgentOptions| options.argument("--attach").argument("clsact");
    let shop = Shop::open_in(Cluster::up_with(lab, clsact)?)?;
    shop.cluster.hold(|| {
        let filters = shop
            .node("a")?
            .run(&["tc", "filter", "show", "dev", "eth0", "ingress"])?;
        ensure!(
            filters.contains("tc_ingress"),
            "no filter of ours: {filters}"
        );
        no_request_fails(&shop)
    })
}

/// Kills and restarts both agents under connections that are kept and such that are made anew, of
/// edge flows, whole flows and host flows.
pub(crate) fn no_request_fails(shop: &Shop) -> Result<()> {
    let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
    let [both_v4, both_v6] = shop.both.at_cluster_ips();
    let [through_v4, through_v6] = shop.far.at_node(&node);
    let mut loads = Vec::new();
    for (from, door) in [
        (&shell as &dyn Place, both_v4),
        (&shell, both_v6),
        (&outside, through_v4),
        (&outside, through_v6),
        (&node, both_v4),
    ] {
        let load = Load::new(&door.url())
            .timeout(Duration::from_secs(5))
            .interval(Duration::from_millis(5));
        loads.push((from.load(&load)?, door));
        loads.push((from.load(&load.keep_alive())?, door));
    }

    for name in ["a", "b"] {
        let agent = shop.cluster.agent(name)?;
        agent.kill9()?;
        for door in shop.both.at_cluster_ips() {
            door.is_answered_by(&shell, &shop.both.endpoints, 30)?;
        }
        agent.restart()?;
        wait_until("the new agent has taken over", LONGEST, || {
            Ok(agent.log().contains("agent running"))
        })?;
        shop.cluster.await_served(&shop.both.service)?;
    }

    for (load, door) in loads {
        let report = load.stop()?;
        ensure!(report.failed == 0, "{door:?}: {report:#?}");
        ensure!(report.answered > 0, "{door:?}: {report:#?}");
    }
    Ok(())
}

#[test]
fn what_changed_while_no_agent_ran_is_in_force_after_the_restart() -> Result<()> {
    let shop = Shop::open(two_nodes("meanwhile", Cni::Bridge, Cni::Bridge))?;
    shop.cluster.hold(|| {
        let shell = shop.shell()?;
        shop.cluster.agent("a")?.kill9()?;
        let late = shop.node("a")?.add_pod("late")?;
        shop.cluster.objects.remove(&shop.near.service)?;
        let moved = Offer::new("far", 2)?.endpoint(&shop.cluster.lab.pod("web-a")?);
        shop.cluster.objects.put(&moved.service)?;
        // What was in force stays so.
        for offer in [&shop.near, &shop.far] {
            for door in offer.at_cluster_ips() {
                door.is_answered_by(&shell, &offer.endpoints, 3)?;
            }
        }

        shop.cluster.agent("a")?.restart()?;

        shop.cluster.await_served(&moved.service)?;
        for door in moved.at_cluster_ips() {
            door.is_answered_by(&shell, &moved.endpoints, 3)?;
            door.is_answered_by(&late, &moved.endpoints, 3)?;
        }
        let services = shop.node("a")?.netproxy(&["services"])?;
        ensure!(!services.contains("shop/near"), "{services}");
        Ok(())
    })
}
