//! Sockets that are connected to an endpoint which is no more: whoever waits on one is told, and
//! starts afresh.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Result, bail, ensure};
use netproxy_lab::{
    AgentOptions, Cni, EndpointObject, Place, Prober, Traffic,
    probe::{Batch, Means, Probe, Reply},
    wait_until,
};

use crate::{
    cluster::{Cluster, LONGEST},
    shape::two_nodes,
    shop::{Offer, Shop, is},
};

/// Sockets per frontend.
const SOCKETS: usize = 3;

fn shop(name: &str, argument: Option<&str>) -> Result<Shop> {
    let builder = two_nodes(name, Cni::Bridge, Cni::PointToPoint);
    Shop::open_in(Cluster::up_with(builder, |options: AgentOptions| {
        let options = options.at_sockets();
        match argument {
            Some(argument) => options.argument(argument),
            None => options,
        }
    })?)
}

/// Where a place of node `a` may ask for an offer by UDP.
fn doors(shop: &Shop, offer: &Offer) -> Result<Vec<SocketAddr>> {
    let node = shop.node("a")?;
    let mut doors = offer.at_cluster_ips().to_vec();
    doors.extend(offer.at_node(&node));
    Ok(doors.into_iter().map(|door| door.udp).collect())
}

/// Connected sockets of one place, each of which asks one frontend again and again.
struct Sockets {
    prober: Prober,
    targets: Vec<SocketAddr>,
}

/// What has become of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Answered(&'static str),
    /// `ECONNABORTED`, or `EDESTADDRREQ` from then on.
    Ended,
}

impl Sockets {
    fn of(place: &dyn Place, targets: Vec<SocketAddr>) -> Result<Self> {
        Ok(Self {
            prober: Prober::start(place)?,
            targets,
        })
    }

    /// Every socket asks once, those of a new name after they were made.
    fn ask(&mut self, name: &str) -> Result<BTreeSet<Outcome>> {
        let probe = Probe {
            means: Means::Udp,
            targets: self.targets.clone(),
            tries: SOCKETS,
            failures: SOCKETS,
            timeout_ms: 2000,
            kept_as: Some(name.to_owned()),
        };
        let replies = self.prober.run(&Batch {
            forget: false,
            pace_ms: 0,
            probes: vec![probe],
        })?;
        let replies: Vec<_> = replies.into_iter().flatten().flatten().collect();
        let wanted = self.targets.len() * SOCKETS;
        ensure!(replies.len() == wanted, "{replies:?}: not {wanted} replies");
        replies.into_iter().map(outcome).collect()
    }
}

fn outcome(reply: Reply) -> Result<Outcome> {
    match reply {
        Reply::Answered { endpoint, .. } if endpoint == "web-a" => Ok(Outcome::Answered("web-a")),
        Reply::Answered { endpoint, .. } if endpoint == "web-b" => Ok(Outcome::Answered("web-b")),
        Reply::Failed(text) if text.contains("os error 103") || text.contains("os error 89") => {
            Ok(Outcome::Ended)
        }
        reply => bail!("{reply:?}"),
    }
}

const FAR: Outcome = Outcome::Answered("web-b");
const NEAR: Outcome = Outcome::Answered("web-a");

#[test]
fn a_connected_udp_socket_ends_with_its_endpoint_and_a_new_one_works() -> Result<()> {
    let shop = shop("stale", None)?;
    shop.cluster.hold(|| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let far = doors(&shop, &shop.far)?;
        let near = doors(&shop, &shop.near)?;
        for place in [&shell as &dyn Place, &node] {
            let mut stale = Sockets::of(place, far.clone())?;
            let mut others = Sockets::of(place, near.clone())?;
            is("before", &stale.ask("old")?, &[FAR].into())?;
            is("the others before", &others.ask("old")?, &[NEAR].into())?;

            let moved = Offer::new("far", 2)?.endpoint(&shop.cluster.lab.pod("web-a")?);
            shop.cluster.put(&moved.service)?;

            wait_until("the sockets' end", LONGEST, || {
                Ok(stale.ask("old")? == [Outcome::Ended].into())
            })?;
            is("new sockets", &stale.ask("new")?, &[NEAR].into())?;
            is("the others", &others.ask("old")?, &[NEAR].into())?;
            shop.cluster.put(&shop.far.service)?;
        }
        Ok(())
    })
}

#[test]
fn a_connected_udp_socket_to_a_draining_endpoint_lives() -> Result<()> {
    let shop = shop("draining", None)?;
    shop.cluster.hold(|| {
        let lab = &shop.cluster.lab;
        let (near, far) = (lab.pod("web-a")?, lab.pod("web-b")?);
        let mut sockets = Sockets::of(&shop.shell()?, doors(&shop, &shop.far)?)?;
        is("before", &sockets.ask("old")?, &[FAR].into())?;

        let mut draining = Offer::new("far", 2)?.endpoint(&near);
        let terminating = EndpointObject::from(&far).terminating();
        draining.service = draining.service.endpoint(terminating);
        shop.cluster.put(&draining.service)?;

        wait_until("new sockets go elsewhere", LONGEST, || {
            Ok(sockets.ask("new")? == [NEAR].into())
        })?;
        is("old sockets", &sockets.ask("old")?, &[FAR].into())
    })
}

#[test]
fn what_became_stale_while_no_agent_ran_is_ended_by_the_next() -> Result<()> {
    let shop = shop("stale-restart", None)?;
    shop.cluster.hold(|| {
        let mut sockets = Sockets::of(&shop.shell()?, doors(&shop, &shop.far)?)?;
        is("before", &sockets.ask("old")?, &[FAR].into())?;

        let agent = shop.cluster.agent("a")?;
        agent.kill9()?;
        let moved = Offer::new("far", 2)?.endpoint(&shop.cluster.lab.pod("web-a")?);
        shop.cluster.objects.put(&moved.service)?;
        is("without an agent", &sockets.ask("old")?, &[FAR].into())?;
        agent.restart()?;

        wait_until("the sockets' end", LONGEST, || {
            Ok(sockets.ask("old")? == [Outcome::Ended].into())
        })
    })
}

#[test]
fn without_termination_connected_udp_sockets_are_served_by_packet() -> Result<()> {
    let shop = shop("unended", Some("--terminate-udp=false"))?;
    shop.cluster.hold(|| {
        let frontends = shop.far.at_cluster_ips().map(|door| door.udp).to_vec();
        let mut sockets = Sockets::of(&shop.shell()?, frontends)?;
        is("before", &sockets.ask("old")?, &[FAR].into())?;

        let moved = Offer::new("far", 2)?.endpoint(&shop.cluster.lab.pod("web-a")?);
        shop.cluster.put(&moved.service)?;

        is("the same sockets", &sockets.ask("old")?, &[NEAR].into())
    })
}

#[test]
fn a_tcp_connection_ends_with_its_endpoint_where_that_is_asked_for() -> Result<()> {
    let shop = shop("stale-tcp", Some("--terminate-tcp"))?;
    shop.cluster.hold(|| {
        let lab = &shop.cluster.lab;
        let (near, far) = (lab.pod("web-a")?, lab.pod("web-b")?);
        let shell = shop.shell()?;
        let mut held = Vec::new();
        for door in shop.far.at_cluster_ips() {
            held.push(shell.hold(&door.url())?);
        }
        let mut draining = Offer::new("far", 2)?.endpoint(&near);
        let not_ready = EndpointObject::from(&far).terminating().not_ready();
        draining.service = draining.service.endpoint(not_ready);
        let moved = Offer::new("far", 2)?.endpoint(&near);

        shop.cluster.objects.put(&draining.service)?;
        for door in moved.at_cluster_ips() {
            wait_until("new connections go elsewhere", LONGEST, || {
                Ok(door.is_answered_by(&shell, &moved.endpoints, 10).is_ok())
            })?;
        }
        for hold in &held {
            ensure!(
                hold.is_running(),
                "a connection to a draining endpoint ended"
            );
        }
        shop.cluster.put(&moved.service)?;

        for hold in held {
            let report = hold.finish(LONGEST)?;
            ensure!(report.broken.is_some(), "{report:?}");
        }
        Ok(())
    })
}
