//! `COUNTERS`: what the programs have counted, summed over CPUs.

use std::fmt;

use aya::maps::{Map, MapData, PerCpuArray};
use netproxy_common::Counter;

use super::load::Loaded;
use super::{DatapathError, Pins};

const NAME: &str = "COUNTERS";

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
        Self::new(pins.open(NAME)?)
    }

    /// Goes on with what was counted.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        Self::new(loaded.take(NAME)?)
    }

    fn new(data: MapData) -> Result<Self, DatapathError> {
        PerCpuArray::try_from(Map::PerCpuArray(data))
            .map(Self)
            .map_err(|error| DatapathError::map(NAME, "opened")(std::io::Error::other(error)))
    }

    /// The sum of one counter.
    pub fn get(&self, counter: Counter) -> Result<u64, DatapathError> {
        let values = self
            .0
            .get(&(counter as u32), 0)
            .map_err(|error| DatapathError::map(NAME, "read")(std::io::Error::other(error)))?;
        Ok(values.iter().sum())
    }
}
