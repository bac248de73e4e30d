//! How full a map is: the kernel tells its size, and nobody but who fills it how much is in it.

use aya::maps::MapData;

/// How full a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFill {
    /// The map.
    pub map: &'static str,
    /// Its entries.
    pub entries: u32,
    /// How many it has room for.
    pub capacity: u32,
}

impl MapFill {
    /// Of `map`, called `name`, with so many entries in it.
    pub(super) fn of(name: &'static str, map: &MapData, entries: usize) -> Self {
        Self {
            map: name,
            entries: u32::try_from(entries).unwrap_or(u32::MAX),
            capacity: map.info().map_or(0, |info| info.max_entries()),
        }
    }
}
