//! `SOURCES`: the addresses that this node sends from, by device.

use std::collections::BTreeMap;

use aya::maps::MapData;
use netproxy_common::Source;

use super::load::Loaded;
use super::{DatapathError, batch};

const MAP: &str = "SOURCES";

/// The map, and what it holds.
#[derive(Debug)]
pub(super) struct Sources {
    map: MapData,
    held: BTreeMap<u32, Source>,
}

impl Sources {
    /// Opens the map; what it holds stays until others are set.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        let map = loaded.take(MAP)?;
        let mut held = BTreeMap::new();
        batch::for_each(&map, |ifindex: &u32, source: &Source| {
            held.insert(*ifindex, *source);
        })
        .map_err(DatapathError::map(MAP, "read"))?;
        Ok(Self { map, held })
    }

    /// Makes these the sources.
    pub(super) fn set(&mut self, wanted: &BTreeMap<u32, Source>) -> Result<(), DatapathError> {
        let held = &self.held;
        let new: Vec<(u32, Source)> = wanted
            .iter()
            .filter(|(ifindex, source)| held.get(ifindex) != Some(source))
            .map(|(ifindex, source)| (*ifindex, *source))
            .collect();
        let gone: Vec<u32> = held
            .keys()
            .filter(|ifindex| !wanted.contains_key(ifindex))
            .copied()
            .collect();
        batch::update(&self.map, &new).map_err(DatapathError::map(MAP, "written"))?;
        self.held.extend(new);
        batch::delete(&self.map, &gone).map_err(DatapathError::map(MAP, "written"))?;
        self.held.clone_from(wanted);
        Ok(())
    }
}
