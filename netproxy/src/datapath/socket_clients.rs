//! `SOCKET_CLIENTS`: the cgroups of the pods that are balanced at the socket, where pods may opt out.

use std::collections::BTreeSet;

use aya::maps::MapData;
use tracing::{debug, warn};

use super::load::Loaded;
use super::{DatapathError, MapFill, batch};

const MAP: &str = "SOCKET_CLIENTS";

/// The map, and what it holds.
#[derive(Debug)]
pub(super) struct SocketClients {
    map: MapData,
    held: BTreeSet<u64>,
    /// Whether the log knows that not all fit.
    is_over: bool,
}

impl SocketClients {
    /// Opens the map; what it holds stays until others are set.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        let map = loaded.take(MAP)?;
        let mut held = BTreeSet::new();
        batch::for_each(&map, |cgroup: &u64, _: &u32| {
            held.insert(*cgroup);
        })
        .map_err(DatapathError::map(MAP, "read"))?;
        Ok(Self {
            map,
            held,
            is_over: false,
        })
    }

    /// How full the map is.
    pub(super) fn fill(&self) -> MapFill {
        MapFill::of(MAP, &self.map, self.held.len())
    }

    /// Makes these the clients. Those that do not fit are left out and logged: they are served by
    /// packet.
    pub(super) fn set(&mut self, wanted: &BTreeSet<u64>) -> Result<(), DatapathError> {
        if *wanted == self.held {
            self.is_over = false;
            return Ok(());
        }
        let room = self
            .map
            .info()
            .map_or(0, |info| info.max_entries() as usize);
        self.report_excess(wanted.len(), room);
        let wanted: BTreeSet<u64> = wanted.iter().copied().take(room).collect();
        let gone: Vec<u64> = self.held.difference(&wanted).copied().collect();
        let new: Vec<(u64, u32)> = wanted.difference(&self.held).map(|id| (*id, 0)).collect();
        batch::delete(&self.map, &gone).map_err(DatapathError::map(MAP, "written"))?;
        self.held.retain(|cgroup| wanted.contains(cgroup));
        batch::update(&self.map, &new).map_err(DatapathError::map(MAP, "written"))?;
        self.held = wanted;
        debug!(
            pods = self.held.len(),
            new = new.len(),
            gone = gone.len(),
            "pods balanced at the socket"
        );
        Ok(())
    }

    fn report_excess(&mut self, wanted: usize, room: usize) {
        let is_over = wanted > room;
        if is_over && !self.is_over {
            warn!(
                map = MAP,
                pods = wanted,
                room,
                "the map is full: pods beyond are served by packet; make it larger with \
                 --map-size {MAP}=N and run `netproxy cleanup` before the restart"
            );
        }
        self.is_over = is_over;
    }
}
