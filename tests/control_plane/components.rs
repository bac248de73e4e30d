//! The control plane itself, without netproxy: what the other tests take for granted.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Place, control_plane::Replica, wait_for, wait_until};

use crate::cluster::{LONGEST, web, without_agents};

#[test]
fn slices_are_made_by_the_real_controller_from_pods_that_are_ready() -> Result<()> {
    without_agents("cp-slices", |cluster| {
        let (one, two) = (cluster.lab.pod("web-1")?, cluster.lab.pod("web-2")?);
        let unready = Replica {
            is_ready: false,
            ..Replica::ready(&two, "web")
        };
        cluster.apply(&web())?;
        cluster
            .control_plane
            .register_pods(&[Replica::ready(&one, "web"), unready])?;

        let ready = "{range .items[*].endpoints[?(@.conditions.ready==true)]}{.addresses[0]} {end}";
        let addresses = || {
            cluster.control_plane.kubectl(&[
                "get",
                "endpointslices",
                "--selector=kubernetes.io/service-name=web",
                &format!("--output=jsonpath={ready}"),
            ])
        };
        let wanted: BTreeSet<_> = one.addresses().both().map(|ip| ip.to_string()).into();
        wait_for("the slices", LONGEST, addresses, |found| {
            found
                .split_whitespace()
                .map(str::to_owned)
                .collect::<BTreeSet<_>>()
                == wanted
        })?;
        Ok(())
    })
}

#[test]
fn nodes_are_known_with_both_of_their_addresses() -> Result<()> {
    without_agents("cp-nodes", |cluster| {
        let query = "--output=jsonpath={.status.addresses[*].address}";
        for node in cluster.lab.nodes() {
            let found = cluster
                .control_plane
                .kubectl(&["get", "node", node.name(), query])?;
            let wanted = node.internal_ips().map(|ip| ip.to_string()).join(" ");
            ensure!(found == wanted, "{}: {found}", node.name());
        }
        Ok(())
    })
}

#[test]
fn the_agents_user_may_read_what_a_proxy_needs_and_no_secrets() -> Result<()> {
    without_agents("cp-rights", |cluster| {
        let kubeconfig = cluster.control_plane.agent_kubeconfig();
        let kubeconfig = kubeconfig.to_str().context("the path is UTF-8")?;
        let get = |what| {
            cluster
                .control_plane
                .kubectl(&["--kubeconfig", kubeconfig, "get", what])
        };
        for what in ["services", "endpointslices", "nodes"] {
            get(what)?;
        }
        let refusal = get("secrets").unwrap_err().to_string();
        ensure!(
            refusal.contains("User \"system:kube-proxy\" cannot list resource \"secrets\""),
            "{refusal}"
        );
        Ok(())
    })
}

#[test]
fn a_cut_parts_one_node_from_the_api_server_until_it_is_restored() -> Result<()> {
    without_agents("cp-cut", |cluster| {
        let control_plane = &cluster.control_plane;
        let address = control_plane.address();
        let (address, port) = (address.ip().to_string(), address.port().to_string());
        let authority = control_plane.certificate_authority();
        let authority = authority.to_str().context("the path is UTF-8")?;
        let reaches = |node: &str| -> Result<bool> {
            let url = format!("https://{address}:{port}/livez");
            let words = ["curl", "-s", "-m1", "--cacert", authority, &url];
            Ok(cluster.node(node)?.run(&words).is_ok())
        };
        ensure!(reaches("a")? && reaches("b")?, "both reach it");
        control_plane.cut(&cluster.node("a")?)?;
        ensure!(!reaches("a")?, "a still reaches it");
        ensure!(reaches("b")?, "b is cut, too");
        control_plane.restore(&cluster.node("a")?)?;
        wait_until("a reaches it again", LONGEST, || reaches("a"))
    })
}
