//! What nobody serves is refused at once, as the kernel refuses what nobody listens to; and sockets
//! outlive the endpoint that they talked to.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use netproxy_lab::{
    Answers, Ask, Cni, Get, Place, Process, Traffic, report::Attempt, url, wait_until,
};

use crate::{
    cluster::LONGEST,
    shape::{self, two_nodes},
    shop::{Offer, Shop, is},
};

/// Longer than any request waits that is not refused.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Before a SYN is sent again for the first time, and for the second.
pub(crate) const AT_ONCE_MS: f64 = 900.0;
const SOON_MS: f64 = 2500.0;

/// Holds that every request was refused, none later than in so many milliseconds.
pub(crate) fn are_refused(answers: &Answers, longest_ms: f64) -> Result<()> {
    ensure!(!answers.attempts.is_empty(), "nothing was asked");
    for attempt in &answers.attempts {
        match attempt {
            Attempt::Failed {
                error,
                milliseconds,
            } if error.contains("Connection refused") && *milliseconds < longest_ms => {}
            other => bail!("not refused in {longest_ms} ms: {other:?}"),
        }
    }
    Ok(())
}

/// Holds that TCP and UDP to these addresses are refused.
pub(crate) fn is_refused(from: &dyn Place, http: SocketAddr, udp: SocketAddr) -> Result<()> {
    let what = || format!("{} asks {http} and {udp}", from.name());
    let get = Get::new(&url(http.ip(), http.port()))
        .count(2)
        .timeout(PATIENCE);
    // Over IPv6 the kernel keeps the error of the first SYN to itself while `connect` holds the socket
    // (`tcp_v6_err`), whoever refuses, and takes that of the second.
    let longest_ms = if http.is_ipv4() { AT_ONCE_MS } else { SOON_MS };
    are_refused(&from.get_with(&get)?, longest_ms).with_context(what)?;
    let ask = Ask::new(udp).connected().count(3).timeout(PATIENCE);
    are_refused(&from.ask_with(&ask)?, AT_ONCE_MS).with_context(what)
}

#[test]
fn a_service_without_endpoints_refuses_everybody_at_once() -> Result<()> {
    shape::in_each(|shop| {
        let offer = Offer::new("nobodys", 21)?;
        shop.cluster.put(&offer.service)?;
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        for door in offer.at_cluster_ips() {
            is_refused(&shell, door.http, door.udp)?;
            is_refused(&node, door.http, door.udp)?;
        }
        for door in offer.at_node(&node) {
            is_refused(&outside, door.http, door.udp)?;
        }
        Ok(())
    })
}

#[test]
fn an_unused_port_of_a_cluster_ip_is_refused_at_once() -> Result<()> {
    shape::in_each(|shop| {
        for ip in shop.near.cluster_ips {
            let unused = SocketAddr::new(ip, 9999);
            is_refused(&shop.shell()?, unused, unused)?;
            is_refused(&shop.node("a")?, unused, unused)?;
        }
        Ok(())
    })
}

#[test]
fn a_sockets_next_datagram_goes_to_the_endpoint_that_replaced_its_own() -> Result<()> {
    shape::of_each_kind(|cni| {
        let shop = Shop::open(two_nodes("replaced", cni, Cni::Bridge))?;
        let cluster = &shop.cluster;
        cluster.hold(|| {
            let (shell, node) = (shop.shell()?, shop.node("a")?);
            let moved = Offer::new("far", 2)?.endpoint(&cluster.lab.pod("web-a")?);
            let mut conversations = Vec::new();
            for door in shop.far.at_cluster_ips() {
                conversations.push(Conversation::begin(&shell, door.udp)?);
                conversations.push(Conversation::begin(&node, door.udp)?);
            }
            for door in shop.far.at_node(&node) {
                conversations.push(Conversation::begin(&shop.outside()?, door.udp)?);
            }
            for conversation in &conversations {
                conversation.await_answer_of("web-b")?;
            }

            cluster.put(&moved.service)?;

            for conversation in &conversations {
                conversation.await_answer_of("web-a")?;
                conversation.has_moved_once()?;
            }
            Ok(())
        })
    })
}

/// Datagrams from one socket, one after the other.
struct Conversation {
    what: String,
    asked: SocketAddr,
    process: Process,
}

impl Conversation {
    /// Begins one that lasts as long as the lab.
    fn begin(from: &dyn Place, asked: SocketAddr) -> Result<Self> {
        let words = [
            "ask",
            &asked.to_string(),
            "--same-socket",
            "--count",
            "1000000",
            "--interval-ms",
            "20",
        ];
        Ok(Self {
            what: format!("{} asks {asked} from one socket", from.name()),
            asked,
            process: from.start_traffic(&words.map(str::to_owned))?,
        })
    }

    /// What came of it so far.
    fn answers(&self) -> Result<Answers> {
        let printed = self.process.stdout();
        // The last line may not be whole yet.
        let whole = printed.rsplit_once('\n').map_or("", |(lines, _)| lines);
        Answers::parse(whole)
    }

    fn await_answer_of(&self, endpoint: &str) -> Result<()> {
        let what = format!("{}: {endpoint} answers", self.what);
        let probe = || Ok(self.answers()?.endpoints().contains(endpoint));
        wait_until(&what, LONGEST, probe)
    }

    /// Holds that every datagram was answered, from the address that was asked, and that the second
    /// endpoint has all since the first one's last.
    fn has_moved_once(&self) -> Result<()> {
        let answers = self.answers()?;
        let answers = answers.all_answered().with_context(|| self.what.clone())?;
        is(&self.what, &answers.peers, &[self.asked].into())?;
        let mut endpoints: Vec<_> = answers
            .attempts
            .iter()
            .filter_map(|attempt| match attempt {
                Attempt::Answered { answer, .. } => Some(answer.endpoint.as_str()),
                Attempt::Failed { .. } => None,
            })
            .collect();
        endpoints.dedup();
        is(&self.what, &endpoints, &vec!["web-b", "web-a"])
    }
}
