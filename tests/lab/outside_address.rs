//! Addresses that no node has: `externalIPs` and those of load balancers.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use ipnet::IpNet;
use netproxy_lab::{Place, Serve, Traffic};

use crate::{
    cluster::Cluster,
    shape::{self, two_nodes},
    shop::{Offer, addresses_of, is},
};

const EXTERNAL_IPS: [&str; 2] = ["192.0.2.10", "2001:db8::10"];
const LOAD_BALANCER_IPS: [&str; 2] = ["192.0.2.20", "2001:db8::20"];

#[test]
fn external_ips_are_served_to_the_outside_and_to_pods() -> Result<()> {
    are_served("external-ip", EXTERNAL_IPS, |offer, ip| {
        offer.with(|service| service.external_ip(ip))
    })
}

#[test]
fn load_balancer_ips_are_served_to_the_outside_and_to_pods() -> Result<()> {
    are_served("load-balancer-ip", LOAD_BALANCER_IPS, |offer, ip| {
        offer.with(|service| service.load_balancer_ip(ip))
    })
}

fn are_served(
    name: &str,
    addresses: [&str; 2],
    give: impl Fn(Offer, IpAddr) -> Offer,
) -> Result<()> {
    let addresses: Vec<IpAddr> = addresses
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    shape::in_each(&shape::PAIRS, |a, b| {
        Cluster::run(two_nodes(name, a, b), |cluster| {
            let lab = cluster.lab;
            let (shell, outside) = (lab.pod("shell")?, lab.client("outside")?);
            for backend in ["web-a", "web-b"] {
                let backend = lab.pod(backend)?;
                backend.serve(&Serve::new().http(8080).udp(5353))?;
                let mut offer = Offer::new("web", 1)?.endpoint(&backend);
                for &address in &addresses {
                    offer = give(offer, address);
                }
                cluster.put(&offer.service)?;
                for (node, &address) in lab
                    .nodes()
                    .iter()
                    .flat_map(|node| addresses.iter().map(move |address| (node, address)))
                {
                    outside.route_via(IpNet::from(address), node)?;
                    let door = Offer::at(address);
                    let clients = door.is_answered_by(&outside, &offer.endpoints, 3)?;
                    if backend.node() == node.name() {
                        let client = outside.address_like(address);
                        is("whom a local endpoint sees", &clients, &[client].into())?;
                    } else {
                        let own = addresses_of(node)?;
                        ensure!(
                            clients.is_subset(&own),
                            "a remote endpoint sees {clients:?}, and not the node"
                        );
                    }
                    let clients = door.is_answered_by(&shell, &offer.endpoints, 3)?;
                    let client = shell.address_like(address);
                    is("whom an endpoint sees of a pod", &clients, &[client].into())?;
                }
            }
            Ok(())
        })
    })
}
