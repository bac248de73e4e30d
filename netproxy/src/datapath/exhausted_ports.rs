//! Endpoints towards which no source port was free (`PORTS_*`, `ports_exhausted`).
//!
//! The programs count per endpoint in the entry that the search for a port reads anyway; this side looks there
//! once the counter has moved. A ring of events would tell no more, could be full, and would be one more
//! thing to read while a million packets a second are refused.

use std::net::SocketAddr;

use aya::maps::MapData;
use netproxy_common::{Counter, FrontendKey, Ipv4, Ipv6, Ports};
use rustc_hash::FxHashMap;

use super::encode::Encode;
use super::load::Loaded;
use super::{Counters, DatapathError, batch};
use crate::model::Protocol;

/// Where flows go whose source is translated: the source ports towards one endpoint are one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// The protocol.
    pub protocol: Protocol,
}

/// What has been looked at.
#[derive(Debug)]
pub(super) struct PortsWatch {
    v4: MapData,
    v6: MapData,
    counters: Counters,
    /// The counter when they were last looked at.
    counted: u64,
    /// What every endpoint had come to by then.
    known: FxHashMap<Destination, u32>,
}

impl PortsWatch {
    /// What was counted before is not told.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        let mut watch = Self {
            v4: loaded.take("PORTS_V4")?,
            v6: loaded.take("PORTS_V6")?,
            counters: Counters::adopt(loaded)?,
            counted: 0,
            known: FxHashMap::default(),
        };
        watch.look()?;
        Ok(watch)
    }

    /// The endpoints that have refused flows since, and how many.
    pub(super) fn look(&mut self) -> Result<Vec<(Destination, u32)>, DatapathError> {
        let counted = self.counters.get(Counter::PortsExhausted)?;
        if counted == self.counted {
            return Ok(Vec::new());
        }
        self.counted = counted;
        let mut now = FxHashMap::default();
        read::<Ipv4>("PORTS_V4", &self.v4, &mut now)?;
        read::<Ipv6>("PORTS_V6", &self.v6, &mut now)?;
        let before = std::mem::replace(&mut self.known, now);
        let refused = |(ports, count): (&Destination, &u32)| {
            // An entry that the LRU took, and that has come back, counts from zero.
            let before = before.get(ports).filter(|before| *before <= count);
            let since = count - before.unwrap_or(&0);
            (since > 0).then_some((*ports, since))
        };
        Ok(self.known.iter().filter_map(refused).collect())
    }
}

fn read<A: Encode>(
    name: &'static str,
    map: &MapData,
    found: &mut FxHashMap<Destination, u32>,
) -> Result<(), DatapathError>
where
    FrontendKey<A>: bytemuck::Pod,
{
    batch::for_each(map, |key: &FrontendKey<A>, ports: &Ports| {
        if ports.exhausted > 0
            && let Some(protocol) = Protocol::from_number(key.protocol)
        {
            let endpoint = SocketAddr::new(key.address.to_ip(), key.port.get());
            let ports_towards = Destination { endpoint, protocol };
            found.insert(ports_towards, ports.exhausted);
        }
    })
    .map_err(DatapathError::map(name, "read"))
}
