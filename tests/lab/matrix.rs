//! The same behaviours on every shape of node that netproxy is to work on: CNI plugins, netfilter rules,
//! and programs of others on the same devices.

mod behaviours;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use aya::programs::TcAttachType::{Egress, Ingress};
use netproxy_lab::{AgentOptions, Cni, Get, Node, NodeSpec, Place, RpFilter, Traffic};
use serde_json::Value;

use self::behaviours::{BEHAVIOURS, FIREWALL};
use crate::{
    cluster::Cluster,
    command_line::rows,
    foreign::{Foreign, Order},
    shape::two_nodes_as,
    shop::{Shop, is},
};

#[test]
fn bridge_that_netfilter_sees() -> Result<()> {
    let spec = NodeSpec::new(Cni::Bridge).bridge_netfilter(true);
    hold("bridge", &spec.masquerade(true), Beside::Nothing)
}

#[test]
fn bridge_that_netfilter_does_not_see() -> Result<()> {
    let spec = NodeSpec::new(Cni::Bridge).bridge_netfilter(false);
    hold("bridge-alone", &spec.masquerade(true), Beside::Nothing)
}

#[test]
fn point_to_point() -> Result<()> {
    let spec = NodeSpec::new(Cni::PointToPoint).masquerade(true);
    hold("ptp", &spec, Beside::Nothing)
}

#[test]
fn vxlan() -> Result<()> {
    hold("vxlan", &Cni::Vxlan.into(), Beside::Nothing)
}

#[test]
fn vxlan_that_netfilter_does_not_see() -> Result<()> {
    let spec = NodeSpec::new(Cni::Vxlan).bridge_netfilter(false);
    hold("vxlan-alone", &spec, Beside::Nothing)
}

#[test]
fn several_nics() -> Result<()> {
    let spec = NodeSpec::new(Cni::PointToPoint).masquerade(true);
    let spec = spec.rp_filter(RpFilter::Loose).second_nic();
    hold("nics", &spec, Beside::Nothing)
}

#[test]
fn bridge_with_onlookers_before_and_after() -> Result<()> {
    hold("onlookers", &Cni::Bridge.into(), Beside::Onlookers)
}

#[test]
fn point_to_point_with_a_firewall_of_tcx_programs() -> Result<()> {
    hold("tcx", &Cni::PointToPoint.into(), Beside::TcxFirewall)
}

#[test]
fn bridge_with_a_firewall_of_tcx_programs() -> Result<()> {
    let spec = NodeSpec::new(Cni::Bridge).bridge_netfilter(false);
    hold("tcx-bridge", &spec, Beside::TcxFirewall)
}

#[test]
fn point_to_point_with_filters_that_look_on_or_end_the_chain() -> Result<()> {
    hold("filters", &Cni::PointToPoint.into(), Beside::Filters)
}

#[test]
fn point_to_point_with_a_firewall_of_filters_beside_our_filters() -> Result<()> {
    hold("clsact", &Cni::PointToPoint.into(), Beside::FilterFirewall)
}

#[test]
fn check_names_what_stands_in_the_way() -> Result<()> {
    let spec = NodeSpec::new(Cni::PointToPoint);
    let shop = Shop::open(two_nodes_as("m-check", &spec, &spec))?;
    shop.cluster.hold(|| {
        let (node, shell) = (shop.node("a")?, shop.shell()?);
        let device = shell.host_device();
        let [door, _] = shop.near.at_cluster_ips();
        let get = Get::new(&door.url()).timeout(Duration::from_millis(500));
        let is_answered = || anyhow::Ok(shell.get_with(&get)?.answered() == 1);
        let warnings = || {
            let rows = rows(&node, &["check"])?;
            let is_ours = |row: &&Value| row["subject"] == "devices" && row["level"] == "warning";
            let found = rows.iter().filter(is_ours);
            let found = found.filter_map(|row| Some(row["found"].as_str()?.to_owned()));
            anyhow::Ok(found.collect::<Vec<_>>())
        };
        is("warnings", &warnings()?, &Vec::new())?;
        ensure!(is_answered()?, "the shell is not answered");

        let mut foreign = Foreign::load()?;
        foreign.attach("end_chain", &node, device, Ingress, Order::First)?;
        let found = warnings()?;
        let named = format!("{device}: the program end_chain (id ");
        let consequence = "runs before netproxy at ingress: what it keeps to itself";
        ensure!(
            found.len() == 1 && found[0].starts_with(&named) && found[0].contains(consequence),
            "{found:#?}"
        );
        ensure!(
            !is_answered()?,
            "who ends the chain keeps nothing to itself"
        );
        drop(foreign);
        ensure!(is_answered()?, "the shell is not answered any more");

        // A firewall of filters, which at egress run after our tcx program.
        let mut foreign = Foreign::load()?;
        foreign.attach("note", &node, device, Ingress, Order::Filter(10))?;
        foreign.attach("admit_answers", &node, device, Egress, Order::Filter(10))?;
        let found = warnings()?;
        let named =
            format!("{device}: the clsact filters bpf (priority 10) run after netproxy at egress");
        ensure!(
            found.len() == 1 && found[0].starts_with(&named),
            "{found:#?}"
        );
        ensure!(
            !is_answered()?,
            "such a firewall lets answers of services pass"
        );
        Ok(())
    })
}

/// Who else is on the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// Programs that look on, before and after ours on every hook.
    Onlookers,
    /// A stateful firewall on pods' devices: after our program at ingress, before it at egress.
    TcxFirewall,
    /// clsact filters, where our programs are tcx: one that looks on, and a classic one that ends
    /// the chain.
    Filters,
    /// The firewall as clsact filters, where ours are filters as well.
    FilterFirewall,
}

/// Holds every behaviour on two nodes of this shape, and tells of each that does not hold.
fn hold(name: &str, spec: &NodeSpec, beside: Beside) -> Result<()> {
    let builder = two_nodes_as(&format!("m-{name}"), spec, spec);
    let shop = Shop::open_in(Cluster::up_with(
        builder,
        |options: AgentOptions| match beside {
            Beside::FilterFirewall => options.argument("--attach=clsact"),
            _ => options,
        },
    )?)?;
    shop.cluster.hold(|| {
        let mut foreign = Foreign::load()?;
        for node in shop.cluster.lab.nodes() {
            node.nft(FIREWALL)?;
            put(&mut foreign, node, beside)?;
        }
        let failures: Vec<_> = BEHAVIOURS
            .iter()
            .filter_map(|(behaviour, holds)| {
                let error = holds(&shop).err()?;
                Some(format!("{name:<12} {behaviour:<45} {error:#}"))
            })
            .collect();
        if failures.is_empty() {
            return Ok(());
        }
        bail!("what does not hold:\n{}", failures.join("\n"));
    })
}

/// Puts programs of others on a node's devices, on which ours are already.
fn put(foreign: &mut Foreign, node: &Node, beside: Beside) -> Result<()> {
    let pods = node.pods();
    let pods = pods.iter().map(|pod| (pod.name(), pod.host_device()));
    match beside {
        Beside::Nothing => {}
        Beside::Onlookers => {
            for (_, device) in pods.chain([("", "eth0")]) {
                for hook in [Ingress, Egress] {
                    foreign.attach("look_on", node, device, hook, Order::First)?;
                    foreign.attach("look_on_too", node, device, hook, Order::Last)?;
                }
            }
        }
        Beside::TcxFirewall => {
            for (pod, device) in pods {
                let [from_pod, to_pod] = firewall(pod);
                foreign.attach(from_pod, node, device, Ingress, Order::Last)?;
                foreign.attach(to_pod, node, device, Egress, Order::First)?;
            }
        }
        Beside::Filters => {
            for (_, device) in pods.chain([("", "eth0")]) {
                for (hook, name) in [(Ingress, "ingress"), (Egress, "egress")] {
                    foreign.attach("look_on", node, device, hook, Order::Filter(10))?;
                    let words = format!(
                        "tc filter add dev {device} {name} priority 20 protocol all u32 \
                         match u32 0 0 classid 1:1"
                    );
                    node.run(&words.split(' ').collect::<Vec<_>>())?;
                }
            }
        }
        Beside::FilterFirewall => {
            for (pod, device) in pods {
                let [from_pod, to_pod] = firewall(pod);
                foreign.attach(from_pod, node, device, Ingress, Order::Filter(10))?;
                foreign.attach(to_pod, node, device, Egress, Order::Filter(10))?;
            }
        }
    }
    Ok(())
}

/// The firewall's halves for what a pod sends and is sent: who serves sends answers only, who does not
/// is sent nothing else.
fn firewall(pod: &str) -> [&'static str; 2] {
    if pod == "shell" {
        ["note", "admit_answers"]
    } else {
        ["admit_answers", "note"]
    }
}
