//! `nodeport-remote-pps`: how many packets a core forwards.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use super::{Pace, Scenario};
use crate::{
    arena::Arena,
    forwarder::Forwarder,
    frames::Frames,
    measurement::Sample,
    system::System,
    web::{self, Way, What},
};

/// How long frames are sent.
const LENGTH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct PacketRate;

impl Scenario for PacketRate {
    fn name(&self) -> &'static str {
        "nodeport-remote-pps"
    }

    fn about(&self) -> &'static str {
        "Small datagrams of 64 flows of a client outside to a node port, which the node sends on to another machine. \
         They come to the node's uplink as from a network card, as frames without an skb, and are counted and dropped \
         behind it. The uplink is received by a kernel thread with a core of its own: frames that were sent on, by \
         the seconds that this thread worked"
    }

    fn systems(&self) -> &'static [System] {
        // Without a service there is nothing to forward.
        &System::TO_NODE_PORTS[1..]
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn run(&self, arena: &Arena<'_>, system: System, _: Pace) -> Result<Vec<Sample>> {
        let (_, to) = arena.road(system, Way::NodePortRemote, What::Sink)?;
        let SocketAddr::V4(to) = to else {
            bail!("frames are of IPv4, {to} is not");
        };
        let node = arena.node(system)?;
        let forwarder = Forwarder::begin(arena.lab(), node.clone())?;
        web::with_sinks(&arena.backends()?, || {
            let mut frames = Frames::prepare(arena.lab(), &node, &arena.outside()?, to)?;
            let (taken, worked) = (frames.taken()?, forwarder.worked()?);
            let began = Instant::now();
            let sent = frames.send(LENGTH)?;
            let seconds = began.elapsed().as_secs_f64();
            let taken = frames.taken()? - taken;
            let worked = forwarder.worked()?.saturating_sub(worked).as_secs_f64();
            ensure!(
                taken > 0 && worked > 0.0,
                "{taken} of {sent} frames were sent on, for which the thread worked {worked} s"
            );
            #[expect(clippy::cast_precision_loss, reason = "below 2^53 nothing is lost")]
            let [sent, taken] = [sent, taken].map(|it| it as f64);
            Ok(vec![
                Sample::new("packets by core", "1/s", taken / worked),
                Sample::new("packets sent", "1/s", sent / seconds),
                Sample::new("packets sent on", "1/s", taken / seconds),
                Sample::new("core busy", "%", 100.0 * worked / seconds),
            ])
        })
    }
}
