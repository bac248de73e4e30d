//! Requests by HTTP, as fast as they are answered: over connections that are kept, and each over its own.

use anyhow::Result;

use super::{LONG_TURNS, Pace, SHORT_TURNS, Scenario};
use crate::{
    arena::Arena,
    measurement::Sample,
    system::System,
    web::{Way, What},
    wrk,
};

/// What differs.
#[derive(Debug)]
pub(crate) struct Requests {
    name: &'static str,
    about: &'static str,
    systems: &'static [System],
    way: Way,
    is_kept_alive: bool,
    /// Whether all runs ask at the same port, so that source ports come again.
    is_sustained: bool,
    seconds: u64,
}

pub(crate) const CLUSTER_IP_KEEPALIVE: Requests = Requests {
    name: "clusterip-keepalive",
    about: "A pod asks a cluster IP over 32 connections that it keeps; the endpoints are on another machine",
    systems: &System::TO_CLUSTER_IPS,
    way: Way::ClusterIp,
    is_kept_alive: true,
    is_sustained: false,
    seconds: 1,
};

pub(crate) const CLUSTER_IP_SHORT: Requests = Requests {
    name: "clusterip-short",
    about: "A pod asks a cluster IP, each time over a new connection; no source port is used twice",
    is_kept_alive: false,
    ..CLUSTER_IP_KEEPALIVE
};

pub(crate) const CLUSTER_IP_SHORT_SUSTAINED: Requests = Requests {
    name: "clusterip-short-sustained",
    about: "The same at one frontend, for so long that every source port is used several times",
    is_sustained: true,
    seconds: 20,
    ..CLUSTER_IP_SHORT
};

pub(crate) const NODE_PORT_LOCAL_SHORT: Requests = Requests {
    name: "nodeport-local-short",
    about: "A client outside asks a node port with externalTrafficPolicy Local, each time over a new connection; a \
            pod of the node answers",
    systems: &System::TO_NODE_PORTS,
    way: Way::NodePortLocal,
    ..CLUSTER_IP_SHORT
};

pub(crate) const NODE_PORT_REMOTE_SHORT: Requests = Requests {
    name: "nodeport-remote-short",
    about: "A client outside asks a node port, each time over a new connection; another machine answers, by way of \
            the node. Direct has no node in between",
    systems: &System::TO_NODE_PORTS,
    way: Way::NodePortRemote,
    ..CLUSTER_IP_SHORT
};

impl Scenario for Requests {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn systems(&self) -> &'static [System] {
        self.systems
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn runs(&self, pace: Pace) -> u16 {
        let turns = if self.is_sustained {
            LONG_TURNS
        } else {
            SHORT_TURNS
        };
        pace.choose(turns, 1)
    }

    fn run(&self, arena: &Arena<'_>, system: System, pace: Pace) -> Result<Vec<Sample>> {
        let what = if self.is_sustained {
            What::Http(0)
        } else {
            What::next_http()
        };
        let (from, to) = arena.road(system, self.way, what)?;
        let seconds = pace.choose(self.seconds, 1);
        Ok(wrk::ask(&*from, to, self.is_kept_alive, seconds)?.samples())
    }
}
