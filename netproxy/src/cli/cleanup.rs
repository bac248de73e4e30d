//! `netproxy cleanup`: nothing of netproxy stays on this node.

use clap::Args;
use netproxy::datapath::{self, Pins, Removed};

use super::table::Listing;

const DETAILS: &str = "\
There is no question asked. Stop the agent first, or it goes on without what it needs.

What it means for traffic: from this moment nothing on this node answers at cluster IPs, node
ports, load-balancer and external IPs until the agent, or another proxy, serves them. Connections
that netproxy translates packet by packet break; those that were balanced at the socket live on,
and so does all traffic that goes to pods directly.

Removed are the pinned links (and with them the programs on this node's devices), netproxy's filters
on clsact qdiscs, and the pinned maps with all flows. Not removed: clsact qdiscs, which others may
use. Run it in the host's network namespace.

Examples:
  netproxy cleanup
  netproxy cleanup --bpffs /run/netproxy/bpf";

/// Takes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct CleanupArgs {}

impl CleanupArgs {
    #[expect(clippy::unused_self, reason = "every command is run in the same way")]
    pub(super) fn run(&self, pins: &Pins, list: &mut Listing<'_>) -> anyhow::Result<()> {
        clean_up(pins, list)
    }
}

/// Removes everything and tells what it was.
pub(super) fn clean_up(pins: &Pins, list: &mut Listing<'_>) -> anyhow::Result<()> {
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
    })
}
