//! `MAGLEV`: the tables of consistent balancing, and which of them are free.
//!
//! A table is named by a range, as one more than its index, and made once: readers see it whole with the range. It
//! stays the same for as long as the endpoints that it is over do.

use std::hash::Hasher as _;
use std::net::SocketAddr;

use aya::maps::MapData;
use bytemuck::Zeroable as _;
use netproxy_common::maglev::Table;
use rustc_hash::{FxHashMap, FxHasher};
use tracing::warn;

use super::mapped::Mapped;
use super::ranges::Ranges;
use super::{DatapathError, MapFill};
use crate::plan::lookup_table;

/// Its name.
pub(super) const NAME: &str = "MAGLEV";

/// The tables, by their numbers.
#[derive(Debug)]
pub(super) struct Tables {
    array: Mapped<Table>,
    free: Ranges,
    /// What is in them, as far as this process has made them or looked.
    known: FxHashMap<u32, Contents>,
}

#[derive(Debug, PartialEq, Eq)]
struct Contents {
    /// The endpoints by their places.
    endpoints: Vec<SocketAddr>,
    /// Tells whether somebody else has written to it since.
    checksum: u64,
}

impl Tables {
    /// Those of a map, of which the `taken` ones are in use.
    pub(super) fn adopt(map: MapData, taken: Vec<u32>) -> Result<Self, DatapathError> {
        let mut array: Mapped<Table> = Mapped::growing(NAME, map)?;
        for number in &taken {
            array.reach(*number)?;
        }
        let taken = taken.into_iter().map(|number| (number, 1));
        Ok(Self {
            free: Ranges::new(1, array.entries() + 1, taken),
            array,
            known: FxHashMap::default(),
        })
    }

    /// Whether a table is that of these endpoints, in these places.
    pub(super) fn is_of(&mut self, number: u32, endpoints: &[SocketAddr]) -> bool {
        let Some(found) = number.checked_sub(1).and_then(|it| self.array.get(it)) else {
            return false;
        };
        if let Some(known) = self.known.get(&number) {
            return known.endpoints == endpoints && known.checksum == checksum(&found);
        }
        // An earlier process has made it.
        let is_same = table(endpoints).is_some_and(|wanted| wanted == found);
        if is_same {
            self.note(number, endpoints, &found);
        }
        is_same
    }

    /// Hands one out where more than `spare` are free.
    pub(super) fn take(&mut self, spare: u32) -> Option<u32> {
        if self.free.free() <= spare {
            return None;
        }
        let number = self.free.take(1)?;
        if let Err(error) = self.array.reach(number) {
            warn!(%error, "a table cannot be used");
            self.free.retire(number, 1);
            return None;
        }
        Some(number)
    }

    /// Makes one that nobody reads that of these endpoints; false: there are too many for a table.
    pub(super) fn fill(&mut self, number: u32, endpoints: &[SocketAddr]) -> bool {
        let Some(table) = table(endpoints) else {
            return false;
        };
        self.note(number, endpoints, &table);
        number
            .checked_sub(1)
            .is_some_and(|index| self.array.set(index, table))
    }

    /// Gives one back that programs may still be reading; zero is none.
    pub(super) fn retire(&mut self, number: u32) {
        if number != 0 {
            self.known.remove(&number);
            self.free.retire(number, 1);
        }
    }

    /// Whether a grace period would set any free.
    pub(super) fn has_quarantine(&self) -> bool {
        self.free.has_quarantine()
    }

    /// A grace period has passed since the last `retire`.
    pub(super) fn recycle(&mut self) {
        self.free.recycle();
    }

    /// How many are in use.
    pub(super) fn fill_level(&self) -> MapFill {
        let capacity = self.array.entries();
        MapFill {
            map: NAME,
            entries: capacity.saturating_sub(self.free.free()),
            capacity,
        }
    }

    fn note(&mut self, number: u32, endpoints: &[SocketAddr], table: &Table) {
        let contents = Contents {
            endpoints: endpoints.to_vec(),
            checksum: checksum(table),
        };
        self.known.insert(number, contents);
    }
}

fn table(endpoints: &[SocketAddr]) -> Option<Table> {
    let mut table = Table::zeroed();
    for (slot, place) in table.slots.iter_mut().zip(lookup_table(endpoints)?) {
        *slot = place;
    }
    Some(table)
}

fn checksum(table: &Table) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytemuck::bytes_of(table));
    hasher.finish()
}
