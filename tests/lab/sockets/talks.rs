//! Unconnected datagram sockets that talk to several frontends.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Ask, Place, Port, Serve, ServiceObject, Traffic, report::Attempt};

use super::{count, in_shop, shop};
use crate::shop::{Offer, Shop, is};

/// How many frontends a socket remembers.
const PAIRS: usize = 8;
/// Frontends beyond those.
const BEYOND: usize = 4;
/// Where the endpoint serves the first of them; the others follow.
const FIRST_PORT: u16 = 6001;

#[test]
fn one_socket_gets_every_answer_from_the_frontend_that_it_asked() -> Result<()> {
    let shop = shop("talks")?;
    shop.cluster.hold(|| {
        let frontends = open_many(&shop, PAIRS + BEYOND)?;
        let node = shop.node("a")?;
        for place in [&shop.shell()? as &dyn Place, &node] {
            for frontends in &frontends {
                let (translated, left) = (
                    count(&node, "socket_translated")?,
                    count(&node, "socket_left")?,
                );

                each_answers_for_itself(place, frontends, 5)?;

                let translated = count(&node, "socket_translated")? - translated;
                let left = count(&node, "socket_left")? - left;
                is("frontends at the socket", &translated, &(PAIRS as u64))?;
                // With one frontend too many, all of them go by packet.
                let all = 5 * frontends.len();
                is("datagrams on the wire", &left, &((all - PAIRS) as u64))?;
            }
        }
        Ok(())
    })
}

/// Opens so many services of one endpoint, at a port each; answers with their frontends by family.
fn open_many(shop: &Shop, many: usize) -> Result<[Vec<SocketAddr>; 2]> {
    let endpoint = shop.cluster.lab.pod("web-a")?;
    let mut serve = Serve::new();
    let mut frontends = [Vec::new(), Vec::new()];
    for (number, port) in (101..).zip(FIRST_PORT..).take(many) {
        let (v4, v6) = (format!("10.96.0.{number}"), format!("fd10:96::{number}"));
        frontends[0].push(format!("{v4}:53").parse()?);
        frontends[1].push(format!("[{v6}]:53").parse()?);
        serve = serve.udp(port);
        let service = ServiceObject::new("shop", &format!("talk-{number}"))
            .cluster_ips(&[&v4, &v6])
            .port(Port::udp("dns", 53).target(port))
            .endpoint(&endpoint);
        shop.cluster.put(&service)?;
    }
    endpoint.serve(&serve)?;
    Ok(frontends)
}

#[test]
fn two_frontends_with_the_same_endpoint_are_not_confused() -> Result<()> {
    in_shop(|shop| {
        for family in [0, 1] {
            let frontends = [
                shop.near.at_cluster_ips()[family].udp,
                Offer::at(shop.near.external_ips[family]).udp,
            ];
            for place in [&shop.shell()? as &dyn Place, &shop.node("a")?] {
                each_answers_for_itself(place, &frontends, 5)?;
            }
        }
        Ok(())
    })
}

/// Asks all of them in turn from one socket, so many times, and holds that each answer comes from the
/// address that was asked.
fn each_answers_for_itself(
    place: &dyn Place,
    frontends: &[SocketAddr],
    times: usize,
) -> Result<()> {
    let (first, others) = frontends.split_first().context("no frontends")?;
    let ask = others.iter().fold(Ask::new(*first), |ask, it| ask.and(*it));
    let ask = ask
        .same_socket()
        .count(times)
        .timeout(Duration::from_secs(1));
    let answers = place.ask_with(&ask)?;
    is(
        "answers",
        &answers.attempts.len(),
        &(times * frontends.len()),
    )?;
    for (number, (attempt, asked)) in answers
        .attempts
        .iter()
        .zip(frontends.iter().cycle())
        .enumerate()
    {
        ensure!(
            matches!(attempt, Attempt::Answered { peer, .. } if peer == asked),
            "{}: question {number} went to {asked}: {attempt:?}",
            place.name()
        );
    }
    Ok(())
}
