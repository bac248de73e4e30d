//! Pods that opt out of balancing at the socket, and those that do not.

use std::{fs, net::IpAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use netproxy_common::PINS_VERSION;
use netproxy_lab::{
    AgentOptions, Answers, Cni, Node, Place, Pod, Traffic, Way, wait_for, wait_until,
};

use crate::{
    cluster::{Cluster, LONGEST},
    shape::two_nodes,
    shop::{Shop, is},
};

/// The namespace of the pods.
const NAMESPACE: &str = "mesh";
/// Well before the agent reads all cgroups again by itself.
const SOON: Duration = Duration::from_secs(10);

/// A shop where pods may opt out. Its agents know none of its pods yet.
fn shop(name: &str) -> Result<Shop> {
    let builder = two_nodes(name, Cni::Bridge, Cni::PointToPoint);
    let options = |options: AgentOptions| options.at_sockets().argument("--socket-opt-out");
    Shop::open_in(Cluster::up_with(builder, options)?)
}

#[test]
fn a_pod_is_left_on_the_wire_until_it_and_its_namespace_are_known() -> Result<()> {
    let shop = shop("opt-out-unknown")?;
    shop.cluster.hold(|| {
        let (shell, node, objects) = (shop.shell()?, shop.node("a")?, &shop.cluster.objects);
        let seen = Seen::by(&shell, &shop)?;
        is_way(&shop, &shell, Way::Wire)?;
        ensure!(seen.frontends()? > 0, "no packet to a frontend was seen");
        is_way(&shop, &node, Way::Socket)?;

        objects.put_pod(&shell, NAMESPACE, None)?;
        is_way(&shop, &shell, Way::Wire)?;
        objects.put_namespace(NAMESPACE, None)?;
        await_way(&shop, &shell, Way::Socket)?;

        let before = seen.frontends()?;
        is_way(&shop, &shell, Way::Socket)?;
        ensure!(
            seen.frontends()? == before,
            "a packet to a frontend was seen"
        );
        Ok(())
    })
}

#[test]
fn pods_follow_their_own_wish_else_that_of_their_namespace() -> Result<()> {
    let shop = shop("opt-out-wishes")?;
    shop.cluster.hold(|| {
        let objects = &shop.cluster.objects;
        // The two pods have cgroups as the two drivers name them.
        for name in ["shell", "web-a"] {
            let pod = shop.cluster.lab.pod(name)?;
            for (own, inherited, way) in [
                (None, None, Way::Socket),
                (Some("off"), None, Way::Wire),
                (None, None, Way::Socket),
                (None, Some("off"), Way::Wire),
                (Some("on"), Some("off"), Way::Socket),
                (Some("no"), None, Way::Wire),
            ] {
                objects.put_pod(&pod, NAMESPACE, own)?;
                objects.put_namespace(NAMESPACE, inherited)?;
                await_way(&shop, &pod, way)
                    .with_context(|| format!("{name} says {own:?}, its namespace {inherited:?}"))?;
            }
        }
        // What pods say is nothing to the host.
        is_way(&shop, &shop.node("a")?, Way::Socket)
    })
}

#[test]
fn a_socket_that_asks_all_the_time_goes_by_packet_when_its_pod_opts_out_and_misses_no_answer()
-> Result<()> {
    let shop = shop("opt-out-talk")?;
    shop.cluster.hold(|| {
        let (shell, objects) = (shop.shell()?, &shop.cluster.objects);
        objects.put_namespace(NAMESPACE, None)?;
        objects.put_pod(&shell, NAMESPACE, None)?;
        await_way(&shop, &shell, Way::Socket)?;
        let seen = Seen::by(&shell, &shop)?;
        let [door, _] = shop.far.at_cluster_ips();
        let words = format!(
            "ask {} --same-socket --interval-ms 5 --count 100000",
            door.udp
        );
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let talk = shell.start_traffic(&words)?;
        let answers = || Ok(talk.stdout().lines().count());
        wait_for("answers", LONGEST, answers, |count| *count > 20)?;
        ensure!(seen.frontends()? == 0, "a packet to the frontend was seen");

        objects.put_pod(&shell, NAMESPACE, Some("off"))?;
        wait_until("packets to the frontend", LONGEST, || {
            Ok(seen.frontends()? > 20)
        })?;
        objects.put_pod(&shell, NAMESPACE, Some("on"))?;
        await_way(&shop, &shell, Way::Socket)?;
        let so_far = answers()?;
        wait_for("more answers", LONGEST, answers, |count| {
            *count > so_far + 20
        })?;
        // What is left on the wire once stays there.
        let before = seen.frontends()?;
        wait_until("more packets to the frontend", LONGEST, || {
            Ok(seen.frontends()? > before + 20)
        })?;

        talk.kill9()?;
        let text = talk.stdout();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let answers = Answers::parse(whole)?.all_answered()?;
        ensure!(answers.peers == [door.udp].into(), "{:?}", answers.peers);
        Ok(())
    })
}

#[test]
fn wishes_are_kept_without_an_agent_and_changes_are_known_after_its_restart() -> Result<()> {
    let shop = shop("opt-out-restart")?;
    shop.cluster.hold(|| {
        let (shell, web) = (shop.shell()?, shop.cluster.lab.pod("web-a")?);
        let (objects, agent) = (&shop.cluster.objects, shop.cluster.agent("a")?);
        objects.put_namespace(NAMESPACE, None)?;
        objects.put_pod(&shell, NAMESPACE, None)?;
        objects.put_pod(&web, NAMESPACE, Some("off"))?;
        await_way(&shop, &shell, Way::Socket)?;
        agent.kill9()?;
        is_way(&shop, &shell, Way::Socket)?;
        is_way(&shop, &web, Way::Wire)?;

        objects.put_pod(&shell, NAMESPACE, Some("off"))?;
        objects.put_pod(&web, NAMESPACE, None)?;
        agent.restart()?;

        await_way(&shop, &shell, Way::Wire)?;
        await_way(&shop, &web, Way::Socket)
    })
}

#[test]
fn a_pod_is_balanced_soon_after_it_gets_a_cgroup_and_forgotten_with_it() -> Result<()> {
    let shop = shop("opt-out-new")?;
    shop.cluster.hold(|| {
        let (node, objects) = (shop.node("a")?, &shop.cluster.objects);
        objects.put_namespace(NAMESPACE, None)?;
        for name in ["new-1", "new-2"] {
            let pod = node.add_pod(name)?;
            objects.put_pod(&pod, NAMESPACE, None)?;
            wait_for(
                "it is balanced",
                SOON,
                || way_of(&shop, &pod),
                |way| *way == Some(Way::Socket),
            )?;
            is("clients", &clients(&node)?, &1)?;

            // Its container's, then its own.
            for directory in pod.cgroup().ancestors().take(2) {
                fs::remove_dir(directory).with_context(|| format!("{}", directory.display()))?;
            }
            wait_for(
                "it is forgotten",
                SOON,
                || clients(&node),
                |clients| *clients == 0,
            )?;
        }
        Ok(())
    })
}

#[test]
fn pods_for_which_the_map_has_no_room_are_served_by_packet() -> Result<()> {
    let builder = two_nodes("opt-out-full", Cni::Bridge, Cni::PointToPoint);
    let options = |options: AgentOptions| {
        let options = options.at_sockets().argument("--socket-opt-out");
        options.argument("--map-size").argument("SOCKET_CLIENTS=1")
    };
    let shop = Shop::open_in(Cluster::up_with(builder, options)?)?;
    shop.cluster.hold(|| {
        let (shell, web) = (shop.shell()?, shop.cluster.lab.pod("web-a")?);
        let (objects, agent) = (&shop.cluster.objects, shop.cluster.agent("a")?);
        objects.put_namespace(NAMESPACE, None)?;
        objects.put_pod(&shell, NAMESPACE, None)?;
        await_way(&shop, &shell, Way::Socket)?;

        objects.put_pod(&web, NAMESPACE, None)?;
        wait_until("the full map is named with a remedy", LONGEST, || {
            Ok(agent.log().contains("--map-size SOCKET_CLIENTS="))
        })?;
        let both = [&shell, &web].map(|pod| way_of(&shop, pod));
        let ways: Vec<_> = both.into_iter().collect::<Result<_>>()?;
        ensure!(
            ways.contains(&Some(Way::Socket)) && ways.contains(&Some(Way::Wire)),
            "{ways:?}"
        );
        Ok(())
    })
}

/// How many pods are balanced on a node.
fn clients(node: &Node) -> Result<usize> {
    let map = node
        .bpffs()
        .join("netproxy")
        .join(format!("v{PINS_VERSION}"));
    let map = map.join("SOCKET_CLIENTS");
    let map = map.to_str().context("a path of another kind")?;
    let text = node.run(&["bpftool", "-j", "map", "dump", "pinned", map])?;
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text)?;
    Ok(entries.len())
}

/// Asks from a place on node `a`, by TCP and UDP and in both families, and tells which way that took.
fn way_of(shop: &Shop, from: &dyn Place) -> Result<Option<Way>> {
    const TIMES: usize = 3;
    Way::of(&shop.node("a")?, || {
        for door in shop.far.at_cluster_ips() {
            door.is_answered_by(from, &shop.far.endpoints, TIMES)?;
        }
        Ok(4 * u64::try_from(TIMES)?)
    })
}

/// Holds that this is the way.
fn is_way(shop: &Shop, from: &dyn Place, way: Way) -> Result<()> {
    let what = format!("the way of {}", from.name());
    is(&what, &way_of(shop, from)?, &Some(way))
}

/// Waits until it is.
fn await_way(shop: &Shop, from: &dyn Place, way: Way) -> Result<()> {
    let what = format!("the way of {} is {way:?}", from.name());
    wait_for(
        &what,
        LONGEST,
        || way_of(shop, from),
        |found| *found == Some(way),
    )
    .map(drop)
}

/// What leaves a pod, as netfilter sees it there: the pod's own packets, before any program.
struct Seen<'a> {
    pod: &'a Pod,
}

impl<'a> Seen<'a> {
    /// Counts the packets that a pod sends to the frontends of `far` from now on.
    fn by(pod: &'a Pod, shop: &Shop) -> Result<Self> {
        let rules = shop.far.cluster_ips.map(|address| match address {
            IpAddr::V4(address) => format!("ip daddr {address} counter"),
            IpAddr::V6(address) => format!("ip6 daddr {address} counter"),
        });
        let rules = rules.join("\n");
        let chain = format!("chain output {{\ntype filter hook output priority 0\n{rules}\n}}\n");
        pod.run(&["nft", &format!("table inet seen {{\n{chain}}}\n")])?;
        Ok(Self { pod })
    }

    /// How many there were.
    fn frontends(&self) -> Result<u64> {
        let text = self
            .pod
            .run(&["nft", "-j", "list", "chain", "inet", "seen", "output"])?;
        let listed: serde_json::Value = serde_json::from_str(&text)?;
        let rules = listed["nftables"].as_array().context("no list")?;
        let expressions = rules
            .iter()
            .filter_map(|rule| rule["rule"]["expr"].as_array());
        let counters = expressions
            .flatten()
            .filter_map(|part| part["counter"]["packets"].as_u64());
        Ok(counters.sum())
    }
}
