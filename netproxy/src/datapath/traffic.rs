//! `TRAFFIC`: how much services carry, summed over CPUs.

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, io};

use aya::maps::{Map, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use netproxy_common::{Traffic, Volume};

use super::load::Loaded;
use super::{DatapathError, MapSize, Pins};

const MAP: &str = "TRAFFIC";
/// What the map may take on a machine of many CPUs, each of which has one of its own.
const MOST_BYTES: usize = 32 << 20;
const LEAST_ENTRIES: u32 = 4096;
/// The kernel makes each entry by itself (`bpf_array_alloc_percpu`), 0.7 µs, while a node that starts waits for it: as
/// many as large clusters have.
const MOST_ENTRIES: u32 = 16_384;

/// The map in the kernel.
pub(super) struct Carried(PerCpuArray<MapData, Traffic>);

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").finish_non_exhaustive()
    }
}

/// With how many entries the map is made on this machine.
pub(super) fn size_of_machine() -> MapSize {
    MapSize {
        map: MAP,
        entries: size_by_cpus(nr_cpus().unwrap_or(1)),
    }
}

fn size_by_cpus(cpus: usize) -> u32 {
    let entries = MOST_BYTES / size_of::<Traffic>() / cpus.max(1);
    let entries = u32::try_from(entries).unwrap_or(u32::MAX);
    entries.clamp(LEAST_ENTRIES, MOST_ENTRIES)
}

impl Carried {
    /// What was counted before goes on.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        loaded.take(MAP).and_then(Self::new)
    }

    /// Opens the pinned map.
    pub(super) fn open(pins: &Pins) -> Result<Self, DatapathError> {
        pins.open(MAP).and_then(Self::new)
    }

    fn new(data: MapData) -> Result<Self, DatapathError> {
        PerCpuArray::try_from(Map::PerCpuArray(data))
            .map(Self)
            .map_err(failed("opened"))
    }

    /// How many ids there is room for.
    pub(super) fn entries(&self) -> u32 {
        self.0.len()
    }

    /// What services of these ids have carried. Under id zero is what those have for which there is no room.
    pub(super) fn read(
        &self,
        ids: impl IntoIterator<Item = u32>,
    ) -> Result<BTreeMap<u32, Traffic>, DatapathError> {
        let mut traffic = BTreeMap::new();
        let ids = ids.into_iter().filter(|id| *id < self.entries());
        for id in std::iter::once(0).chain(ids) {
            let values = self.0.get(&id, 0).map_err(failed("read"))?;
            traffic.insert(id, values.iter().copied().fold(Traffic::default(), sum));
        }
        Ok(traffic)
    }

    /// Forgets what services of these ids have carried, which others are given next.
    pub(super) fn forget(&mut self, ids: &BTreeSet<u32>) -> Result<(), DatapathError> {
        let cpus = nr_cpus().map_err(|(_, error)| DatapathError::map(MAP, "written")(error))?;
        for id in ids
            .iter()
            .filter(|id| **id < self.entries())
            .copied()
            .collect::<Vec<_>>()
        {
            let nothing = PerCpuValues::try_from(vec![Traffic::default(); cpus])
                .map_err(DatapathError::map(MAP, "written"))?;
            self.0.set(id, nothing, 0).map_err(failed("written"))?;
        }
        Ok(())
    }
}

fn sum(one: Traffic, other: Traffic) -> Traffic {
    let volume = |one: Volume, other: Volume| Volume {
        packets: one.packets.wrapping_add(other.packets),
        bytes: one.bytes.wrapping_add(other.bytes),
    };
    Traffic {
        flows: one.flows.wrapping_add(other.flows),
        sockets: one.sockets.wrapping_add(other.sockets),
        to_endpoints: volume(one.to_endpoints, other.to_endpoints),
        to_clients: volume(one.to_clients, other.to_clients),
    }
}

fn failed(what: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |error| DatapathError::map(MAP, what)(io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_has_room_for_a_large_cluster_unless_there_are_many_cpus() {
        assert_eq!(
            [1, 2, 64, 4096].map(size_by_cpus),
            [16_384, 16_384, 10_922, 4096]
        );
    }
}
