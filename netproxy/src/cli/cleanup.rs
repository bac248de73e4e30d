//! `netproxy cleanup`: nothing of netproxy stays on this node.

mod kube_proxy;

use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use netproxy::config::GoDuration;
use netproxy::datapath::{self, Drain, FlowEntry, Pins, Removed};
use netproxy::netfilter::release_connections;

use self::kube_proxy::KubeProxyArgs;
use super::table::Listing;

const DETAILS: &str = "\
There is no question asked. Stop the agent first: while one runs, nothing is removed.

What it means for traffic: from this moment nothing on this node answers at cluster IPs, node
ports, load-balancer and external IPs until the agent, or another proxy, serves them. Connections
that netproxy translates packet by packet break; those that were balanced at the socket live on,
and so does all traffic that goes to pods directly.

With --drain nothing breaks where another proxy serves by then: start kube-proxy, wait until it has
its rules, stop the agent, and drain. What is new goes to kube-proxy at once. What netproxy
translates goes on until its last flow has ended, and only then is everything removed. A client that
comes again from the port of such a flow goes on with it. Nobody follows endpoints meanwhile. If it is interrupted, run it again, or start the agent to serve again.

With --kube-proxy nothing of netproxy is removed, but what kube-proxy has left in the packet filter: its
tables of nftables, its chains of iptables with the rules that lead to them. Start netproxy, stop
kube-proxy, then run it. Connections that kube-proxy began go on: while there are any, the empty table
netproxy-hand-over has the kernel translate them; run it again later, or any other cleanup, and the table
goes as well. It needs nft, and for rules of iptables, iptables-save and iptables-restore of that
variant. The kubelet's chains and those of CNI plugins stay.

Removed otherwise are the pinned links (and with them the programs on this node's devices), netproxy's filters
on clsact qdiscs, and the pinned maps with all flows. Not removed: clsact qdiscs, which others may
use. Run it in the host's network namespace.

Examples:
  netproxy cleanup
  netproxy cleanup --drain --timeout 30m
  netproxy cleanup --kube-proxy --dry-run
  netproxy cleanup --bpffs /run/netproxy/bpf";

/// How often a drain looks at what is left.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often it says so at least.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

/// How to remove it.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct CleanupArgs {
    /// Serve nothing new, and wait until the last flow has ended before anything is removed
    #[arg(long)]
    drain: bool,
    /// How long to wait for flows to end; those left are cut
    #[arg(long, value_name = "DURATION", default_value = "24h", requires = "drain", value_parser = timeout)]
    timeout: Duration,
    #[command(flatten)]
    rules: KubeProxyArgs,
}

impl CleanupArgs {
    pub(super) fn run(&self, pins: &Pins, list: &mut Listing<'_>) -> anyhow::Result<()> {
        if self.rules.are_meant() {
            return self.rules.run(list);
        }
        let _claim = pins.claim_for_removal()?;
        if self.drain {
            self.drain(pins, list)?;
        }
        remove(pins, list)
    }

    /// Waits for the last flow.
    fn drain(&self, pins: &Pins, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let Some(mut drain) = Drain::open(pins)? else {
            return Ok(());
        };
        // The other proxy gets new connections from the next line on.
        let left = drain.flows_left()?;
        let mut are_ports_kept = keep_ports(&mut drain, &left, list)?;
        drain.begin()?;
        let began = Instant::now();
        let mut told: Option<(Instant, usize)> = None;
        loop {
            let left = drain.flows_left()?;
            if are_ports_kept {
                are_ports_kept = keep_ports(&mut drain, &left, list)?;
            }
            let left = left.len();
            if left > 0 && began.elapsed() >= self.timeout {
                list.line(&format!(
                    "{left} flows are left after {:?}: they are cut",
                    self.timeout
                ))?;
                break;
            }
            let is_known = told.is_some_and(|(at, known)| {
                at.elapsed() < LOOK_INTERVAL * 2 || (known == left && at.elapsed() < TELL_INTERVAL)
            });
            if !is_known {
                list.line(&format!("nothing new is served; {left} flows left"))?;
                list.flush()?;
                told = Some((Instant::now(), left));
            }
            if left == 0 {
                break;
            }
            sleep(LOOK_INTERVAL);
        }
        drain.let_sockets_go()?;
        Ok(())
    }
}

/// Keeps the source ports of the flows that are left; yields whether they are all kept.
fn keep_ports(
    drain: &mut Drain,
    left: &[FlowEntry],
    list: &mut Listing<'_>,
) -> anyhow::Result<bool> {
    let Err(error) = drain.keep_ports(left) else {
        return Ok(true);
    };
    list.line(&format!(
        "not every source port of the flows that are left can be kept from netfilter: {error}; some new \
         connections of another proxy may fail until they end"
    ))?;
    Ok(false)
}

/// A duration as kube-proxy's flags take them.
fn timeout(text: &str) -> Result<Duration, String> {
    let duration: GoDuration = text.parse().map_err(|error| format!("{error}"))?;
    if duration.is_negative() {
        return Err("must not be negative".to_owned());
    }
    Ok(duration.positive())
}

/// Removes everything, unless an agent is running, and tells what it was.
pub(super) fn clean_up(pins: &Pins, list: &mut Listing<'_>) -> anyhow::Result<()> {
    let _claim = pins.claim_for_removal()?;
    remove(pins, list)
}

fn remove(pins: &Pins, list: &mut Listing<'_>) -> anyhow::Result<()> {
    let Removed {
        maps,
        links,
        filters,
    } = datapath::clean_up(pins)?;
    let directory = pins.directory().display();
    list.line(&if maps + links + filters > 0 {
        format!("removed {maps} maps and {links} links from {directory}, and {filters} filters")
    } else {
        format!("nothing to remove: no datapath is pinned at {directory}")
    })?;
    if release_connections()? {
        list.line(
            "connections that kube-proxy began go on by the nftables table netproxy-hand-over",
        )?;
    }
    Ok(())
}
