//! What the traffic tool reports, and that it notices failures.

use std::{collections::BTreeSet, net::SocketAddr, thread, time::Duration};

use anyhow::{Result, bail, ensure};
use netproxy_lab::{
    Ask, Builder, Cni, Get, Lab, Load, Place, Serve, Traffic, report::Attempt, url, wait_until,
};
use nix::sys::signal::Signal;

fn two_pods() -> Builder {
    Lab::builder("traffic")
        .node("a", Cni::Bridge)
        .pod("client")
        .node("b", Cni::Bridge)
        .pod("server")
}

#[test]
fn both_sides_agree_on_who_they_are() -> Result<()> {
    two_pods().run(|lab| {
        let (client, server) = (lab.pod("client")?, lab.pod("server")?);
        server.serve(&Serve::new().http(8080).udp(5353))?;
        for address in server.addresses().both() {
            let (tcp, udp) = (
                SocketAddr::new(address, 8080),
                SocketAddr::new(address, 5353),
            );
            for (answers, asked) in [
                (client.get(&url(address, 8080), 1)?, tcp),
                (client.ask(udp, 1)?, udp),
                (client.ask_with(&Ask::new(udp).connected())?, udp),
            ] {
                let answers = answers.only_from("server")?;
                ensure!(answers.peers == [asked].into(), "{answers:?}");
                ensure!(answers.servers == [asked].into(), "{answers:?}");
                ensure!(
                    answers.clients == [client.address_like(address)].into(),
                    "{answers:?}"
                );
            }
        }
        Ok(())
    })
}

#[test]
fn requests_share_a_connection_or_socket_only_when_told() -> Result<()> {
    two_pods().run(|lab| {
        let (client, server) = (lab.pod("client")?, lab.pod("server")?);
        server.serve(&Serve::new().http(8080).udp(5353))?;
        let (http, udp) = (
            url(server.ipv4(), 8080),
            SocketAddr::new(server.ipv4().into(), 5353),
        );
        for (get, ask, sources) in [
            (Get::new(&http), Ask::new(udp), 5),
            (Get::new(&http).keep_alive(), Ask::new(udp).same_socket(), 1),
            (Get::new(&http).keep_alive(), Ask::new(udp).connected(), 1),
        ] {
            for answers in [
                client.get_with(&get.count(5))?,
                client.ask_with(&ask.count(5))?,
            ] {
                let answers = answers.all_answered()?;
                let ports: BTreeSet<u16> = answers
                    .attempts
                    .iter()
                    .filter_map(|attempt| match attempt {
                        Attempt::Answered { answer, .. } => Some(answer.client.port()),
                        Attempt::Failed { .. } => None,
                    })
                    .collect();
                ensure!(ports.len() == sources, "{ports:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn a_fixed_source_port_is_kept_and_usable_again() -> Result<()> {
    two_pods().run(|lab| {
        let (client, server) = (lab.pod("client")?, lab.pod("server")?);
        server.serve(&Serve::new().http(8080))?;
        let from = SocketAddr::new(client.ipv6().into(), 33333);
        let get = Get::new(&url(server.ipv6(), 8080)).from(from).count(1);
        for _ in 0..3 {
            let answers = client.get_with(&get)?.all_answered()?;
            let Some(Attempt::Answered { answer, .. }) = answers.attempts.first() else {
                bail!("{answers:?}");
            };
            ensure!(answer.client == from, "{answer:?}");
        }
        Ok(())
    })
}

#[test]
fn a_udp_server_answers_from_the_address_that_was_asked() -> Result<()> {
    two_pods().run(|lab| {
        let (client, node) = (lab.pod("client")?, lab.node("b")?);
        node.ip("addr add 172.31.0.200/32 dev lo\naddr add fd31::200/128 dev lo nodad")?;
        lab.node("a")?.ip(
            "route add 172.31.0.200/32 via 172.31.0.12\nroute add fd31::200/128 via fd31::12",
        )?;
        node.serve(&Serve::new().udp(5353))?;
        for address in ["172.31.0.200:5353", "[fd31::200]:5353"] {
            let address: SocketAddr = address.parse()?;
            let answers = client.ask(address, 1)?.only_from("b")?;
            ensure!(answers.peers == [address].into(), "{answers:?}");
        }
        Ok(())
    })
}

#[test]
fn requests_that_fail_are_counted_with_their_reason() -> Result<()> {
    two_pods().run(|lab| {
        let (client, server) = (lab.pod("client")?, lab.pod("server")?);
        let answers = client.get(&url(server.ipv4(), 8080), 3)?;
        ensure!(
            answers.errors.len() == 3 && answers.answered() == 0,
            "{answers:?}"
        );
        ensure!(answers.errors[0].contains("refused"), "{answers:?}");
        let nobody = "10.244.2.99:5353".parse()?;
        let ask = Ask::new(nobody).timeout(Duration::from_millis(50));
        let answers = client.ask_with(&ask)?;
        ensure!(answers.errors == ["no answer within 50 ms"], "{answers:?}");
        Ok(())
    })
}

#[test]
fn a_load_notices_an_interruption() -> Result<()> {
    two_pods().run(|lab| {
        let (client, server) = (lab.pod("client")?, lab.pod("server")?);
        let serving = server.serve(&Serve::new().http(8080))?;
        let to = url(server.ipv4(), 8080);

        let calm = client.load(&Load::new(&to).concurrency(2).seconds(1))?;
        let calm = calm.finish(Duration::from_secs(10))?;
        ensure!(calm.failed == 0 && calm.answered > 0, "{calm:?}");
        ensure!(calm.by_endpoint["server"] == calm.answered, "{calm:?}");
        ensure!(
            calm.latency.p50 > 0 && calm.latency.p50 <= calm.latency.max,
            "{calm:?}"
        );

        let disturbed = client.load(&Load::new(&to).keep_alive())?;
        serving.signal(Signal::SIGSTOP)?;
        // The length of the interruption is what is measured: there is nothing to wait for.
        thread::sleep(Duration::from_millis(300));
        serving.signal(Signal::SIGCONT)?;
        let disturbed = disturbed.stop()?;
        ensure!(disturbed.longest_gap_milliseconds >= 250.0, "{disturbed:?}");
        Ok(())
    })
}

#[test]
fn a_held_connection_notices_when_its_server_dies() -> Result<()> {
    two_pods().run(|lab| {
        let (client, server) = (lab.pod("client")?, lab.pod("server")?);
        let serving = server.serve(&Serve::new().http(8080))?;
        let to = url(server.ipv6(), 8080);
        let whole = client.hold(&to)?;
        let whole = whole.stop()?;
        ensure!(whole.broken.is_none() && whole.requests >= 1, "{whole:?}");

        let broken = client.hold(&to)?;
        serving.kill9()?;
        wait_until("the connection breaks", Duration::from_secs(5), || {
            Ok(!broken.is_running())
        })?;
        let broken = broken.stop()?;
        ensure!(broken.broken.is_some(), "{broken:?}");
        Ok(())
    })
}
