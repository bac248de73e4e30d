//! Agents that hear of nothing, and that have no room for what they hear of.

use anyhow::Result;
use netproxy_lab::{Load, Traffic, wait_until};
use serde_json::json;

use super::{await_firing, firing, names, observe, reachable, service};
use crate::cluster::{Cluster, LONGEST, WEB_PORT, web, without_agents};

/// Room for `default/kubernetes`, for the cluster IP of `web` and for its node port.
const FRONTENDS: &str = "FRONTENDS_V4=3";
/// Flows that there is room for.
const FLOWS: &str = "32";
const CLIENTS: usize = 100;

#[test]
fn alerts_tell_of_an_api_server_out_of_reach_and_of_tables_that_are_full() -> Result<()> {
    without_agents("troubled", |cluster| {
        cluster.control_plane.stop_apiserver()?;
        cluster.start_agents_with(|options| {
            let options = reachable(options)
                .argument("--map-size")
                .argument(FRONTENDS);
            options.argument("--flows-max").argument(FLOWS)
        })?;
        let prometheus = observe(cluster)?;

        let unheard = [
            ("NetproxyNotSynced", "instance", "a"),
            ("NetproxyApiServerErrors", "instance", "a"),
        ];
        await_firing(&prometheus, &unheard)?;

        cluster.control_plane.start_apiserver()?;
        wait_until("both have synced", LONGEST, || {
            Ok(!names(&firing(&prometheus)?).contains("NetproxyNotSynced"))
        })?;
        cluster.apply(&web())?;
        cluster.scale_web(&["web-1"])?;
        let shell = cluster.shell()?;
        let [url, _] = &Cluster::cluster_urls(WEB_PORT)?[..] else {
            anyhow::bail!("two families");
        };
        wait_until("it is served", LONGEST, || {
            Ok(shell.get(url, 1)?.errors.is_empty())
        })?;
        await_firing(
            &prometheus,
            &[("NetproxyMapNearlyFull", "map", "FRONTENDS_V4")],
        )?;

        cluster.apply(&service(
            "more",
            "10.96.0.81",
            &json!({"selector": {"app": "web"}}),
        ))?;
        let crowd = shell.load(&Load::new(url).concurrency(CLIENTS).keep_alive())?;
        await_firing(
            &prometheus,
            &[
                ("NetproxySyncRefused", "instance", "a"),
                ("NetproxyChangesPending", "instance", "a"),
                ("NetproxyFlowTableFull", "instance", "a"),
                ("NetproxyMapNearlyFull", "map", "FLOWS_V4"),
            ],
        )?;
        crowd.stop().map(drop)
    })
}
