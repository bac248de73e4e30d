//! `netproxy top`: rates of real traffic, by service.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{AgentOptions, Cni, Load, Traffic};
use serde_json::Value;

use crate::{
    cluster::{Cluster, LONGEST},
    shape::two_nodes,
    shop::{Offer, Shop},
};

#[test]
fn services_have_their_flows_and_rates_and_the_node_its_totals() -> Result<()> {
    let builder = two_nodes("top", Cni::Bridge, Cni::PointToPoint);
    let shop = Shop::open_in(Cluster::up_with(builder, AgentOptions::at_sockets)?)?;
    shop.cluster.hold(|| {
        let nobodys = Offer::new("nobodys", 21)?;
        shop.cluster.put(&nobodys.service)?;
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        let [held, _] = shop.near.at_node(&node);
        let held = outside.hold(&held.url())?;
        let [busy, _] = shop.far.at_node(&node);
        let often = Duration::from_millis(20);
        let by_packet = outside.load(&Load::new(&busy.url()).interval(often))?;
        let [at_socket, _] = shop.far.at_cluster_ips();
        let by_socket = shell.load(&Load::new(&at_socket.url()).interval(often))?;
        let [refused, _] = nobodys.at_node(&node);
        let words = [
            "top",
            "--count",
            "2",
            "--interval",
            "1",
            "--sort",
            "new",
            "-o",
            "json",
        ];
        let top = node.start_netproxy(&words)?;

        // Until it has told twice.
        while top.is_running() {
            let get = netproxy_lab::Get::new(&refused.url()).count(1);
            outside.get_with(&get.timeout(Duration::from_secs(1)))?;
        }

        let status = top.wait(LONGEST)?;
        ensure!(status.success(), "{status}: {}", top.log());
        let reports: Vec<Value> = top
            .stdout()
            .lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect::<Result<_>>()?;
        ensure!(reports.len() == 2, "{reports:#?}");
        let last = &reports[1];
        let of = |name: &str| {
            let services = last["services"].as_array().context("no services")?;
            let mut found = services
                .iter()
                .filter(|row| row["name"] == name && row["port_name"] == "http");
            found.next().with_context(|| format!("no {name}: {last:#}"))
        };
        let is_more_than_zero = |value: &Value| value.as_f64().is_some_and(|rate| rate > 0.0);
        let (near, far, nobodys) = (of("near")?, of("far")?, of("nobodys")?);
        ensure!(
            near["flows"] == 1 && near["new_flows_per_s"] == 0.0,
            "{near:#}"
        );
        for rate in [
            "new_flows_per_s",
            "sockets_per_s",
            "packets_per_s",
            "bytes_per_s",
        ] {
            ensure!(is_more_than_zero(&far[rate]), "{rate}: {far:#}");
        }
        ensure!(far["drops_per_s"] == 0.0, "{far:#}");
        ensure!(is_more_than_zero(&nobodys["drops_per_s"]), "{nobodys:#}");
        let busiest = &last["services"][0]["name"];
        ensure!(busiest == "far", "{last:#}");
        for rate in ["new_flows", "sockets", "drops"] {
            ensure!(is_more_than_zero(&last["per_s"][rate]), "{rate}: {last:#}");
        }
        ensure!(last["flows"]["assured"].as_u64() >= Some(1), "{last:#}");
        let maps = last["maps"].as_array().context("no maps")?;
        ensure!(maps.len() == 4, "{last:#}");
        by_packet.stop()?;
        by_socket.stop()?;
        held.stop().map(drop)
    })
}
