//! Agents of a build whose maps are laid out otherwise, and back, while traffic runs: nothing fails, and what is open goes
//! on. The other build is `netproxy-other-layout`, of `cargo xtask build --other-layout`.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapInfo;
use netproxy::datapath::Pins;
use netproxy_lab::{
    AgentOptions, Cni, Load, Node, Place, Traffic, binary, traffic::Steady, wait_until,
};

use crate::{
    cluster::{Cluster, LONGEST},
    shape::two_nodes,
    shop::Shop,
};

/// Of one request. A SYN that is lost is repeated after one second, and after two more.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long everything goes on between two steps.
const WHILE: Duration = Duration::from_secs(1);
/// How many questions a conversation of datagrams has.
const QUESTIONS: u64 = 5;

/// How many agents are killed.
const ROUNDS: u32 = 18;

/// The builds, told by the size of a value in `FLOWS_V4`.
const OWN: u32 = 32;
const OTHER: u32 = 40;

#[test]
fn no_request_fails_while_agents_are_upgraded_and_rolled_back() -> Result<()> {
    let lab = two_nodes("upgraded", Cni::PointToPoint, Cni::Bridge);
    let shop = Shop::open_in(Cluster::up(lab)?)?;
    shop.cluster
        .hold(|| go_there_and_back(&shop, "packets, tcx"))
}

#[test]
fn no_request_of_a_socket_fails_while_agents_are_upgraded_and_rolled_back() -> Result<()> {
    let lab = two_nodes("upgraded-sockets", Cni::Bridge, Cni::PointToPoint);
    let shop = Shop::open_in(Cluster::up_with(lab, AgentOptions::at_sockets)?)?;
    shop.cluster.hold(|| go_there_and_back(&shop, "sockets"))
}

#[test]
fn no_request_fails_while_agents_with_filters_on_clsact_are_upgraded() -> Result<()> {
    let lab = two_nodes("upgraded-clsact", Cni::Bridge, Cni::Bridge);
    let clsact = |options: AgentOptions| options.argument("--attach").argument("clsact");
    let shop = Shop::open_in(Cluster::up_with(lab, clsact)?)?;
    shop.cluster
        .hold(|| go_there_and_back(&shop, "packets, clsact"))
}

/// Both nodes to the other build, back to this one, to another size of the flow table.
fn go_there_and_back(shop: &Shop, what: &str) -> Result<()> {
    let steady = start(shop)?;
    let own = shop.cluster.agent("a")?.options();
    let other = own.clone().binary(binary::find("netproxy-other-layout")?);
    let more = own.clone().argument("--flows-max").argument("200000");
    for (options, bytes, entries) in [
        (&other, OTHER, None),
        (&own, OWN, None),
        (&more, OWN, Some(400_000)),
    ] {
        sleep(WHILE);
        for name in ["a", "b"] {
            shop.cluster.agent(name)?.restart_as(options.clone())?;
            await_taken_over(shop, name)?;
            let flows = flow_table(&shop.node(name)?)?;
            ensure!(flows.value_size() == bytes, "{flows:?}");
            let is_sized = entries.is_none_or(|entries| flows.max_entries() == entries);
            ensure!(is_sized, "{flows:?}");
        }
        if bytes == OTHER {
            let error = shop.node("a")?.netproxy(&["services"]).err();
            let error = error.context("a tool of another build reads the maps")?;
            let text = format!("{error:#}");
            ensure!(text.contains("the agent is of another version"), "{text}");
        }
    }
    sleep(WHILE);
    steady.finish(what)?;
    shop.is_open()
}

#[test]
fn no_request_fails_while_agents_die_at_any_moment_of_an_upgrade() -> Result<()> {
    let lab = two_nodes("upgrade-killed", Cni::Bridge, Cni::PointToPoint);
    let shop = Shop::open_in(Cluster::up(lab)?)?;
    shop.cluster.hold(|| die_often(&shop, "packets, killed"))
}

#[test]
fn no_request_of_a_socket_fails_while_agents_die_at_any_moment_of_an_upgrade() -> Result<()> {
    let lab = two_nodes("killed-sockets", Cni::PointToPoint, Cni::Bridge);
    let shop = Shop::open_in(Cluster::up_with(lab, AgentOptions::at_sockets)?)?;
    shop.cluster.hold(|| die_often(&shop, "sockets, killed"))
}

/// Agents of either build by turns, each of which is killed on its way.
fn die_often(shop: &Shop, what: &str) -> Result<()> {
    let steady = start(shop)?;
    let agent = shop.cluster.agent("a")?;
    let own = agent.options();
    let other = own.clone().binary(binary::find("netproxy-other-layout")?);
    let root = Pins::new(shop.node("a")?.bpffs());
    let root = root.directory().parent().context("it is below another")?;
    let [preparing, next] = ["preparing", "next"].map(|name| root.join(name));
    let mut random = fastrand::Rng::with_seed(7);
    let mut killed = BTreeMap::<_, u32>::new();
    for round in 0..ROUNDS {
        let options = if round % 2 == 0 { &other } else { &own };
        agent.restart_as(options.clone())?;
        wait_until(
            "new maps are being made",
            LONGEST,
            || Ok(preparing.exists()),
        )?;
        // At any time of the copying, or at the moment in which the new maps have become the truth.
        if round % 3 == 0 {
            sleep(Duration::from_millis(random.u64(0..1500)));
        } else {
            let begin = Instant::now();
            while preparing.exists() && begin.elapsed() < LONGEST {
                std::hint::spin_loop();
            }
        }
        agent.kill9()?;
        let moment = match (preparing.exists(), next.exists()) {
            (true, _) => "while maps were copied",
            (false, true) => "while programs were replaced",
            (false, false) => "after that",
        };
        *killed.entry(moment).or_default() += 1;
    }
    println!("killed: {killed:?}");
    agent.restart_as(own)?;
    wait_until("the last agent runs", LONGEST, || {
        Ok(agent.log().contains("agent running"))
    })?;
    shop.cluster.await_served(&shop.both.service)?;
    for left in [preparing, next] {
        ensure!(!left.exists(), "{} is left", left.display());
    }
    sleep(WHILE);
    steady.finish(what)?;
    shop.is_open()
}

/// What an agent logs whose maps are others.
const TAKEN_OVER: &str = "programs with other maps have taken over";

fn await_taken_over(shop: &Shop, name: &str) -> Result<()> {
    let agent = shop.cluster.agent(name)?;
    // Binaries that are not optimised convert half a million endpoints in seconds.
    wait_until("the new agent has taken over", LONGEST * 3, || {
        let log = agent.log();
        Ok(log.contains(TAKEN_OVER) && log.contains("agent running"))
    })?;
    for line in agent.log().lines().filter(|line| line.contains(TAKEN_OVER)) {
        println!("{name}: {line}");
    }
    Ok(())
}

fn flow_table(node: &Node) -> Result<MapInfo> {
    let pin = Pins::new(node.bpffs()).map("FLOWS_V4");
    MapInfo::from_pin(&pin).with_context(|| format!("{}", pin.display()))
}

/// Connections that are kept, others that are made anew, and conversations of datagrams: by cluster IPs from a pod and
/// from a node, by `NodePorts` from outside, in both families.
fn start(shop: &Shop) -> Result<Steady> {
    let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
    let [both_v4, both_v6] = shop.both.at_cluster_ips();
    let [far_v4, far_v6] = shop.far.at_node(&node);
    let mut steady = Steady::default();
    for (from, door) in [
        (&shell as &dyn Place, both_v4),
        (&shell, both_v6),
        (&outside, far_v4),
        (&outside, far_v6),
        (&node, both_v4),
        (&node, both_v6),
    ] {
        let load = Load::new(&door.url())
            .timeout(PATIENCE)
            .interval(Duration::from_millis(10));
        steady.load(from.load(&load)?);
        steady.load(from.load(&load.keep_alive())?);
        steady.hold(from.hold(&door.url())?);
        steady.hold(from.hold_idle(&door.url())?);
        for is_connected in [false, true] {
            steady.talk(from.talk_patiently(door.udp, QUESTIONS, is_connected)?);
        }
    }
    Ok(steady)
}
