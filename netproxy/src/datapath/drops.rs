//! `DROPS`: whose packets were dropped, and why.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::MapData;
use netproxy_common::{Counter, DropKey};

use super::load::Loaded;
use super::{DatapathError, batch};

pub(super) const MAP: &str = "DROPS";

/// The map in the kernel.
#[derive(Debug)]
pub(super) struct Drops(MapData);

/// The counts by service and reason.
pub(super) fn read(map: &MapData) -> Result<BTreeMap<(u32, Counter), u64>, DatapathError> {
    let mut drops = BTreeMap::new();
    batch::for_each(map, |key: &DropKey, count: &u64| {
        if let Some(reason) = Counter::ALL.get(key.reason as usize) {
            drops.insert((key.service, *reason), *count);
        }
    })
    .map_err(DatapathError::map(MAP, "read"))?;
    Ok(drops)
}

impl Drops {
    /// What was counted before goes on.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        loaded.take(MAP).map(Self)
    }

    /// The counts by service and reason.
    pub(super) fn counts(&self) -> Result<BTreeMap<(u32, Counter), u64>, DatapathError> {
        read(&self.0)
    }

    /// Forgets what was counted for these services, whose ids others are given next.
    pub(super) fn forget(&self, services: &BTreeSet<u32>) -> Result<(), DatapathError> {
        if services.is_empty() {
            return Ok(());
        }
        let mut keys = Vec::new();
        batch::for_each(&self.0, |key: &DropKey, _: &u64| {
            if services.contains(&key.service) {
                keys.push(*key);
            }
        })
        .map_err(DatapathError::map(MAP, "read"))?;
        batch::delete(&self.0, &keys).map_err(DatapathError::map(MAP, "written"))
    }
}
