//! Cluster IPs that are nobody's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Get, Node, Traffic, objects, wait_until};
use serde::Deserialize;

use crate::{cluster::LONGEST, shape::two_nodes, shop::Shop};

const SERVICE_CIDR: &str = "
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.96.0.0/16, 'fd10:96::/108']}
";

/// Of the networks, but no Service's.
const NOBODY: [&str; 2] = ["http://10.96.77.77/", "http://[fd10:96::7:77]/"];

/// One line of `netproxy counters -o json`.
#[derive(Deserialize)]
struct CounterRow {
    name: String,
    count: u64,
}

/// How many packets to unallocated cluster IPs the node has dropped.
fn dropped(node: &Node) -> Result<u64> {
    let rows: Vec<CounterRow> = node.netproxy_json(&["counters", "-o", "json"])?;
    let mut found = rows.iter().filter(|row| row.name == "unused_address");
    Ok(found.next().context("no such counter")?.count)
}

#[test]
fn packets_to_unallocated_cluster_ips_are_dropped_while_a_service_cidr_says_so() -> Result<()> {
    let shop = Shop::open(two_nodes("unallocated", Cni::Bridge, Cni::Bridge))?;
    shop.cluster.hold(|| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let file = shop.cluster.objects.directory().join("service-cidr.yaml");
        let ask = |url: &str| {
            let get = Get::new(url).timeout(Duration::from_millis(200));
            Ok::<_, anyhow::Error>(shell.get_with(&get)?.answered())
        };
        for url in NOBODY {
            ask(url)?;
        }
        ensure!(dropped(&node)? == 0, "dropped without a ServiceCIDR");

        objects::replace(&file, SERVICE_CIDR)?;
        for url in NOBODY {
            let before = dropped(&node)?;
            wait_until("packets to nobody are dropped", LONGEST, || {
                ask(url)?;
                Ok(dropped(&node)? > before)
            })?;
        }
        shop.is_open()?;

        std::fs::remove_file(&file)?;
        wait_until("packets to nobody are left alone", LONGEST, || {
            let before = dropped(&node)?;
            for url in NOBODY {
                ask(url)?;
            }
            Ok(dropped(&node)? == before)
        })
    })
}
