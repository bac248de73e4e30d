//! `nodeport-remote-pps`: how many packets a core forwards.

use anyhow::{Context, Result, ensure};
use netproxy_lab::report::BlastReport;
use serde_json::Value;

use super::{Pace, Scenario};
use crate::{
    arena::Arena,
    cpu,
    forwarder::Forwarder,
    measurement::Sample,
    system::System,
    web::{self, Way, What},
};

#[derive(Debug)]
pub(crate) struct PacketRate;

impl Scenario for PacketRate {
    fn name(&self) -> &'static str {
        "nodeport-remote-pps"
    }

    fn about(&self) -> &'static str {
        "A client outside sends small datagrams of 64 flows to a node port; another machine gets them, by way of the \
         node. The node's uplink is received by a kernel thread with a core of its own: packets that arrived, by the \
         seconds that this thread worked"
    }

    fn systems(&self) -> &'static [System] {
        // Without a service there is nothing to forward.
        &System::TO_NODE_PORTS[1..]
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn run(&self, arena: &Arena<'_>, system: System, _: Pace) -> Result<Vec<Sample>> {
        let (from, to) = arena.road(system, Way::NodePortRemote, What::Sink)?;
        let forwarder = Forwarder::begin(arena.lab(), arena.node(system)?)?;
        let machine = arena.backends()?;
        let to = to.to_string();
        let words = ["blast", &to, "--seconds", "1"];
        web::with_sinks(&machine, || {
            let (received, worked) = (received(&machine)?, forwarder.worked()?);
            let report: BlastReport = cpu::traffic_at(&*from, cpu::SERVER, &words)?;
            let arrived = self::received(&machine)? - received;
            let worked = forwarder.worked()?.saturating_sub(worked).as_secs_f64();
            ensure!(
                arrived > 0.0 && worked > 0.0,
                "{arrived} packets arrived, for which the thread worked {worked} s: {report:?}"
            );
            #[expect(clippy::cast_precision_loss, reason = "below 2^53 nothing is lost")]
            let sent = report.sent as f64;
            Ok(vec![
                Sample::new("packets by core", "1/s", arrived / worked),
                Sample::new("packets sent", "1/s", sent / report.seconds),
                Sample::new("packets arrived", "1/s", arrived / report.seconds),
                Sample::new("core busy", "%", 100.0 * worked / report.seconds),
            ])
        })
    }
}

/// How many packets have come to the machine.
fn received(machine: &dyn netproxy_lab::Place) -> Result<f64> {
    let text = machine.run(&["ip", "-json", "-stats", "link", "show", "dev", "eth0"])?;
    let list: Value = serde_json::from_str(&text).context("what ip says")?;
    let packets = list[0]["stats64"]["rx"]["packets"].as_f64();
    packets.with_context(|| format!("ip tells no packets: {text}"))
}
