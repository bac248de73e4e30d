//! `DROPS`: whose packets were dropped, and why.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::MapData;
use netproxy_common::{Counter, DropKey};

use super::{DatapathError, batch};

pub(super) const MAP: &str = "DROPS";

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

/// Forgets what was counted for these services, whose ids others are given next.
pub(super) fn forget(map: &MapData, services: &BTreeSet<u32>) -> Result<(), DatapathError> {
    let mut keys = Vec::new();
    batch::for_each(map, |key: &DropKey, _: &u64| {
        if services.contains(&key.service) {
            keys.push(*key);
        }
    })
    .map_err(DatapathError::map(MAP, "read"))?;
    batch::delete(map, &keys).map_err(DatapathError::map(MAP, "written"))
}
