//! Floods of clients that never answer: whoever is being served stays so, and others still get in.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{
    Ask, Client, Cni, Flood, Hold, Load, Place, Traffic, report::LoadReport, traffic::Ongoing,
};
use serde::Deserialize;

use crate::{
    shape::two_nodes,
    shop::{Door, Shop, is},
};

/// Networks that nobody has (RFC 2544, RFC 3849).
const SOURCES_V4: &str = "198.18.0.0/15";
const SOURCES_V6: &str = "2001:db8:f100::/48";
/// How many first packets of each kind, in all, by IPv4; of IPv6 there are a tenth.
const MILLION: u64 = 1_000_000;
/// How long each part of the flood may take.
const LONGEST: Duration = Duration::from_mins(3);
/// How many of a hundred datagrams the endpoint must have answered; the rest its socket had no room for.
const LEAST_ANSWERED: u64 = 90;

#[test]
fn a_flood_breaks_no_connection_and_keeps_nobody_out() -> Result<()> {
    flooded("flood", |_| Ok(()))
}

#[test]
fn a_flood_does_no_harm_while_no_agent_runs() -> Result<()> {
    flooded("flood-alone", |shop| {
        ["a", "b"]
            .into_iter()
            .try_for_each(|node| shop.cluster.agent(node)?.kill9())
    })
}

fn flooded(name: &str, prepare: impl Fn(&Shop) -> Result<()>) -> Result<()> {
    let shop = Shop::open(two_nodes(name, Cni::Bridge, Cni::PointToPoint))?;
    shop.cluster.hold(|| {
        let (outside, node) = (shop.outside()?, shop.node("a")?);
        // What answers the flood comes back to who sent it, and ends there.
        let [v4, v6] = outside.addresses().both();
        node.ip(&format!(
            "route add {SOURCES_V4} via {v4}\nroute add {SOURCES_V6} via {v6}"
        ))?;
        let served = Served::begin(&shop, &outside)?;
        prepare(&shop)?;
        let before = Table::of(&shop)?;

        for (number, offer) in (0..).zip([&shop.near, &shop.far]) {
            for door in offer.at_node(&node) {
                for flood in floods(door) {
                    flood
                        .goes_over(&outside)
                        .with_context(|| format!("flood number {number}"))?;
                    served.talks_go_on()?;
                }
            }
        }

        println!("{name}: {before:?} before, {:?} after", Table::of(&shop)?);
        served.goes_on()?;
        shop.is_open()
    })
}

/// So many packets of one kind.
struct Part {
    flood: Flood,
    count: u64,
}

/// Half of all of it, to one door.
fn floods(door: Door) -> [Part; 2] {
    let (sources, count) = if door.http.is_ipv4() {
        (SOURCES_V4, MILLION / 2)
    } else {
        (SOURCES_V6, MILLION / 20)
    };
    [
        Flood::of_syns(door.http, sources),
        Flood::of_datagrams(door.udp, sources),
    ]
    .map(|flood| Part { flood, count })
}

impl Part {
    fn goes_over(self, from: &Client) -> Result<()> {
        let what = format!("{:?}", self.flood);
        let report = from.flood(self.flood, self.count, LONGEST)?;
        println!("{what}: {report:?}");
        ensure!(
            report.answered * 100 >= report.sent * LEAST_ANSWERED,
            "the endpoint was to answer nearly all: {what}: {report:?}"
        );
        Ok(())
    }
}

/// Who is served before, during and after.
struct Served<'a> {
    outside: &'a Client,
    idle: Vec<Hold>,
    busy: Vec<(Door, Ongoing<LoadReport>)>,
    talks: Vec<Talk>,
}

/// A conversation by UDP that has been answered, and falls silent.
struct Talk {
    ask: Ask,
    source: SocketAddr,
}

impl<'a> Served<'a> {
    fn begin(shop: &Shop, outside: &'a Client) -> Result<Self> {
        let node = shop.node("a")?;
        let shell = shop.shell()?;
        let mut served = Self {
            outside,
            idle: Vec::new(),
            busy: Vec::new(),
            talks: Vec::new(),
        };
        let mut port = 42_000;
        for offer in [&shop.near, &shop.far] {
            for door in offer.at_cluster_ips() {
                served.idle.push(shell.hold_idle(&door.url())?);
            }
            for door in offer.at_node(&node) {
                served.idle.push(outside.hold_idle(&door.url())?);
                let load = Load::new(&door.url())
                    .timeout(Duration::from_secs(20))
                    .interval(Duration::from_millis(50));
                for load in [load.clone().keep_alive(), load] {
                    served.busy.push((door, outside.load(&load)?));
                }
                port += 1;
                let from = SocketAddr::new(outside.address_like(door.udp.ip()), port);
                let ask = Ask::new(door.udp).from(from).same_socket().count(3);
                let source = talk(outside, &ask)?;
                served.talks.push(Talk { ask, source });
            }
        }
        Ok(served)
    }

    /// Sooner than a conversation may be forgotten, which is after two minutes.
    fn talks_go_on(&self) -> Result<()> {
        for Talk { ask, source } in &self.talks {
            is("whom the endpoint sees", &talk(self.outside, ask)?, source)?;
        }
        Ok(())
    }

    fn goes_on(self) -> Result<()> {
        self.talks_go_on()?;
        for hold in self.idle {
            let report = hold.stop()?;
            ensure!(report.broken.is_none(), "an idle connection: {report:?}");
            is("requests of an idle connection", &report.requests, &2)?;
        }
        for (door, load) in self.busy {
            let report = load.stop()?;
            ensure!(report.failed == 0, "{door:?}: {report:#?}");
            ensure!(report.answered > 10, "{door:?}: {report:#?}");
        }
        Ok(())
    }
}

/// The client of a conversation, as the endpoint sees it.
fn talk(outside: &Client, ask: &Ask) -> Result<SocketAddr> {
    let answers = outside.ask_with(ask)?.all_answered()?;
    let sources = answers.sources();
    ensure!(sources.len() == 1, "{sources:?}");
    sources.into_iter().next().context("no answer")
}

/// How full the flow table of node `a` is, and what it has counted.
#[derive(Debug)]
#[expect(dead_code, reason = "printed")]
struct Table {
    assured: u64,
    given_up: u64,
    exhausted: u64,
}

impl Table {
    fn of(shop: &Shop) -> Result<Self> {
        #[derive(Deserialize)]
        struct Row {
            name: String,
            count: u64,
        }
        let rows: Vec<Row> = shop.node("a")?.netproxy_json(&["counters", "-o", "json"])?;
        let count = |name: &str| {
            let row = rows.iter().find(|row| row.name == name);
            row.map_or(0, |row| row.count)
        };
        Ok(Self {
            assured: count("assured"),
            given_up: count("flow_given_up"),
            exhausted: count("ports_exhausted"),
        })
    }
}
