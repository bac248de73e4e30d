//! Requests one after the other, for how long each takes: datagrams, and whole connections.

use anyhow::Result;

use super::{Pace, Scenario};
use crate::{
    arena::Arena,
    exchange,
    measurement::Sample,
    system::System,
    web::{Way, What},
};

/// What differs.
#[derive(Debug)]
pub(crate) struct Exchanges {
    name: &'static str,
    about: &'static str,
    is_udp: bool,
}

pub(crate) const CLUSTER_IP_UDP: Exchanges = Exchanges {
    name: "clusterip-udp",
    about: "A pod asks a cluster IP by UDP, one question after the other, 16 from each socket; the endpoints are on \
            another machine",
    is_udp: true,
};

pub(crate) const FIRST_PACKET: Exchanges = Exchanges {
    name: "first-packet",
    about: "A pod asks a cluster IP by HTTP, one request after the other, each over its own connection: how long \
            one takes from connecting to its end, on an idle machine",
    is_udp: false,
};

impl Scenario for Exchanges {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn systems(&self) -> &'static [System] {
        &System::TO_CLUSTER_IPS
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn run(&self, arena: &Arena<'_>, system: System, _: Pace) -> Result<Vec<Sample>> {
        let what = if self.is_udp {
            What::Udp
        } else {
            What::next_http()
        };
        let (from, to) = arena.road(system, Way::ClusterIp, what)?;
        exchange::ask(&*from, to, self.is_udp, 1)
    }
}
