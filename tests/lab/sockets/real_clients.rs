//! Programs of others as clients: curl, and dig with a real server behind the service.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use netproxy_lab::{AgentOptions, Cni, Place, wait_until};

use super::{count, shop};
use crate::{
    cluster::{Cluster, LONGEST},
    shape::two_nodes,
    shop::{Offer, is},
};

/// How often the endpoints change, and for how long they stay.
const CHANGES: u32 = 10;
const STAY: Duration = Duration::from_secs(1);
/// After this dig asks again.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the servers are asked for.
const NAME: &str = "whoami.test";

#[test]
fn curl_gets_an_answer_from_the_frontend_that_it_asked() -> Result<()> {
    let shop = shop("curl")?;
    shop.cluster.hold(|| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let translated = count(&node, "socket_translated")?;
        for place in [&shell as &dyn Place, &node] {
            for door in shop.far.at_cluster_ips() {
                let url = door.url();
                let form = "\n%{http_code} %{remote_ip} %{remote_port}";
                let words = [
                    "curl",
                    "--silent",
                    "--show-error",
                    "--noproxy",
                    "*",
                    "--max-time",
                    "5",
                    "--write-out",
                    form,
                    &url,
                ];
                let text = run_tool(place, &words, "curl")?;
                let (answer, seen) = text.rsplit_once('\n').context("no answer")?;
                is(
                    "what curl saw",
                    &seen,
                    &&*format!("200 {} 80", door.http.ip()),
                )?;
                ensure!(answer.contains("\"web-b\""), "{answer}");
            }
        }
        is(
            "sockets",
            &(count(&node, "socket_translated")? - translated),
            &4,
        )
    })
}

/// A query that is under way while the endpoint changes may be lost with it, as it may with any proxy;
/// dig asks once more then. No other is, and every one is answered.
#[test]
fn dig_is_answered_while_the_servers_are_replaced_every_second() -> Result<()> {
    let builder = two_nodes("dns", Cni::Bridge, Cni::PointToPoint);
    let cluster = Cluster::up_with(builder, AgentOptions::at_sockets)?;
    cluster.hold(|| {
        let (shell, servers) = (
            cluster.lab.pod("shell")?,
            [cluster.lab.pod("web-a")?, cluster.lab.pod("web-b")?],
        );
        for server in &servers {
            let answer = format!("--address=/{NAME}/{}", server.ipv4());
            server
                .spawn(&[
                    "dnsmasq",
                    "--keep-in-foreground",
                    "--conf-file=/dev/null",
                    "--pid-file=",
                    "--user=root",
                    "--no-resolv",
                    "--no-hosts",
                    "--port=5353",
                    &answer,
                ])
                .context("install dnsmasq: apt-get install dnsmasq-base (or cargo xtask setup)")?;
            let at = server.ipv4().to_string();
            wait_until("dnsmasq answers", LONGEST, || {
                Ok(dig(&shell, &at, "5353").is_ok())
            })?;
        }
        let mut offers = Vec::new();
        for server in &servers {
            offers.push(Offer::new("names", 51)?.endpoint(server));
        }
        cluster.put(&offers[0].service)?;

        let is_over = AtomicBool::new(false);
        let frontends = offers[0].cluster_ips.map(|ip| ip.to_string());
        let queries = || {
            let mut log = Vec::new();
            for frontend in frontends.iter().cycle() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let begin = Instant::now();
                let answer = dig(&shell, frontend, "53")?;
                log.push((answer, begin.elapsed()));
            }
            anyhow::Ok(log)
        };
        let log = thread::scope(|scope| {
            let queries = scope.spawn(queries);
            let states = offers.iter().rev().cycle().take(CHANGES as usize);
            let outcome = states
                .map(|offer| {
                    cluster.put(&offer.service)?;
                    thread::sleep(STAY);
                    Ok(())
                })
                .collect::<Result<Vec<()>>>();
            is_over.store(true, Ordering::Relaxed);
            let log = queries
                .join()
                .map_err(|_| anyhow!("the queries panicked"))?;
            outcome.and(log)
        })?;

        let retried = log.iter().filter(|(_, took)| *took >= PATIENCE).count();
        println!(
            "{} queries through {CHANGES} changes, all answered, {retried} of them asked twice",
            log.len()
        );
        ensure!(log.len() > 100, "only {} queries", log.len());
        ensure!(retried <= CHANGES as usize, "{retried} queries were lost");
        for server in &servers {
            let address = server.ipv4().to_string();
            let answered = log.iter().filter(|(answer, _)| *answer == address).count();
            ensure!(answered > 0, "{} answered nothing", server.name());
        }
        Ok(())
    })
}

/// The address that a server has for the name; fails when it is not answered twice.
fn dig(from: &dyn Place, server: &str, port: &str) -> Result<String> {
    let at = format!("@{server}");
    let time = format!("+time={}", PATIENCE.as_secs());
    let words = [
        "dig", &at, "-p", port, NAME, "A", "+short", "+tries=2", &time,
    ];
    Ok(run_tool(from, &words, "bind9-dnsutils")?.trim().to_owned())
}

fn run_tool(place: &dyn Place, words: &[&str], package: &str) -> Result<String> {
    place.run(words).with_context(|| {
        let tool = words[0];
        format!("{tool} (if it is missing: apt-get install {package}, or cargo xtask setup)")
    })
}
