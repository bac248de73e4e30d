//! `COUNTERS`: what the programs have counted, summed over CPUs.

use std::fmt;

use aya::maps::{Map, MapData, PerCpuArray};
use netproxy_common::Counter;

use super::{DatapathError, Pins};

/// The counters of a datapath.
pub struct Counters(PerCpuArray<MapData, u64>);

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

impl Counters {
    /// Opens the pinned counters.
    pub fn open(pins: &Pins) -> Result<Self, DatapathError> {
        let failed = |error: aya::maps::MapError| {
            DatapathError::map("COUNTERS", "opened")(std::io::Error::other(error))
        };
        let data = MapData::from_pin(pins.map("COUNTERS")).map_err(failed)?;
        let array = PerCpuArray::try_from(Map::PerCpuArray(data)).map_err(failed)?;
        Ok(Self(array))
    }

    /// The sum of one counter.
    pub fn get(&self, counter: Counter) -> Result<u64, DatapathError> {
        let values = self.0.get(&(counter as u32), 0).map_err(|error| {
            DatapathError::map("COUNTERS", "read")(std::io::Error::other(error))
        })?;
        Ok(values.iter().sum())
    }
}
