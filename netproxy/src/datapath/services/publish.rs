//! Making a service port's endpoints the ones in force, and the room that they take.

use netproxy_common::maglev::SLOTS;
use netproxy_common::{Endpoint, Range, Service};
use tracing::warn;

use super::{Put, Services, Slots};
use crate::datapath::encode::{self, Encode};
use crate::datapath::grace::wait_for_grace_period;
use crate::datapath::header::{header, is_v6, length, live_range};
use crate::datapath::mapped::Mapped;
use crate::datapath::{DatapathError, MapFill};
use crate::plan::WantedPort;

impl Services {
    pub(super) fn publish<A: Encode>(
        &mut self,
        id: u32,
        port: &WantedPort,
        slots: impl Fn(&mut Self) -> &mut Slots<A>,
    ) -> Result<Put, DatapathError>
    where
        Endpoint<A>: bytemuck::Pod,
    {
        let set = self.acquire_sources(port, &slots)?;
        let in_force = live_range(&self.words, &self.headers, id).map_or(0, |(_, it)| it.table);
        let table = self.table(in_force, port);
        let outcome = self.publish_with(id, port, (set, table), &slots);
        if !matches!(outcome, Ok(Put::Written)) {
            slots(self).sources.release(set);
            if table != in_force {
                self.tables.retire(table);
            }
        }
        outcome
    }

    /// The table of the port's endpoints: the one in force if it is of them, else a new one. Zero: none is wanted, or
    /// there is none.
    fn table(&mut self, in_force: u32, port: &WantedPort) -> u32 {
        let Some(endpoints) = port.range.consistent() else {
            self.without_table.remove(&port.key);
            return 0;
        };
        if self.tables.is_of(in_force, &endpoints) {
            return in_force;
        }
        // Who has a table needs another one for a moment: the last one is kept for that.
        let spare = u32::from(in_force == 0);
        let taken = self.take_or_recycle(|services| services.tables.take(spare));
        if let Some(number) = taken {
            if self.tables.fill(number, &endpoints) {
                self.without_table.remove(&port.key);
                return number;
            }
            self.tables.retire(number);
        }
        if self.without_table.insert(port.key.clone()) {
            let MapFill { map, capacity, .. } = self.tables.fill_level();
            warn!(
                service = %port.key,
                endpoints = endpoints.len(),
                "balanced at random: {map} has {capacity} tables, one of them for changes, and tables have room for \
                 {SLOTS} endpoints; --map-size {map}=N makes more tables"
            );
        }
        0
    }

    /// The set of the port's source ranges, made if there is none.
    fn acquire_sources<A: Encode>(
        &mut self,
        port: &WantedPort,
        slots: impl Fn(&mut Self) -> &mut Slots<A>,
    ) -> Result<u32, DatapathError> {
        let ranges = &port.range.source_ranges;
        let acquire = |services: &mut Self| slots(services).sources.acquire(ranges, &port.key);
        match acquire(self) {
            Err(DatapathError::Full { .. }) if self.recycle()? => acquire(self),
            outcome => outcome,
        }
    }

    fn publish_with<A: Encode>(
        &mut self,
        id: u32,
        port: &WantedPort,
        (set, table): (u32, u32),
        slots: impl Fn(&mut Self) -> &mut Slots<A>,
    ) -> Result<Put, DatapathError>
    where
        Endpoint<A>: bytemuck::Pod,
    {
        let endpoints = encode::endpoints::<A>(&port.range.endpoints);
        let old = live_range(&self.words, &self.headers, id);
        if let Some((_, range)) = &old
            && *range == header(id, range.base, (set, table), port)
            && is_filled(&slots(self).array, range.base, &endpoints)
        {
            return Ok(Put::Unchanged);
        }
        let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        let base = self.take_or_recycle(|services| slots(services).free.take(count));
        let base = base.ok_or_else(|| {
            let array = &slots(self).array;
            DatapathError::Full {
                map: array.name(),
                entries: array.entries() as usize,
                object: port.key.to_string(),
            }
        })?;
        let Some(index) = self.take_or_recycle(|services| services.free_headers.take(1)) else {
            slots(self).free.retire(base, count);
            return Err(DatapathError::Full {
                map: "RANGES",
                entries: self.headers.entries() as usize,
                object: port.key.to_string(),
            });
        };
        let is_there = slots(self).array.reach(base.saturating_add(count));
        if let Err(error) = is_there.and_then(|()| self.headers.reach(index + 1)) {
            slots(self).free.retire(base, count);
            self.free_headers.retire(index, 1);
            return Err(error);
        }
        let array = &mut slots(self).array;
        for (slot, endpoint) in (base..).zip(&endpoints) {
            array.set(slot, *endpoint);
        }
        self.headers
            .set(index, header(id, base, (set, table), port));
        let generation = self.generation(id).wrapping_add(1);
        self.words.publish(
            id,
            Service {
                range: index,
                generation,
            },
        );
        if let Some((index, mut range)) = old {
            if range.table == table {
                // It goes on.
                range.table = 0;
            }
            self.retire(index, &range);
        }
        Ok(Put::Written)
    }

    pub(in crate::datapath) fn generation(&self, id: u32) -> u32 {
        self.words.get(id).map_or(0, |word| word.generation)
    }

    pub(super) fn retire(&mut self, index: u32, range: &Range) {
        self.free_headers.retire(index, 1);
        self.tables.retire(range.table);
        if is_v6(range) {
            self.v6.retire(range);
        } else {
            self.v4.retire(range);
        }
    }

    /// What `take` yields, if need be after a grace period that sets free what was retired.
    fn take_or_recycle(&mut self, mut take: impl FnMut(&mut Self) -> Option<u32>) -> Option<u32> {
        take(self).or_else(|| match self.recycle() {
            Ok(true) => take(self),
            Ok(false) | Err(_) => None,
        })
    }

    /// Sets free, after a grace period, what was retired. False if there was nothing.
    fn recycle(&mut self) -> Result<bool, DatapathError> {
        let rooms = [&self.v4.free, &self.v6.free, &self.free_headers];
        let has_quarantine =
            rooms.iter().any(|room| room.has_quarantine()) || self.tables.has_quarantine();
        if !has_quarantine && !self.has_retired_sources() {
            return Ok(false);
        }
        wait_for_grace_period().map_err(DatapathError::map("RANGES", "recycled"))?;
        for room in [&mut self.v4.free, &mut self.v6.free, &mut self.free_headers] {
            room.recycle();
        }
        self.tables.recycle();
        let outcome = self.v4.sources.recycle();
        outcome.and(self.v6.sources.recycle()).map(|()| true)
    }

    fn has_retired_sources(&self) -> bool {
        self.v4.sources.has_retired() || self.v6.sources.has_retired()
    }

    /// Removes source ranges that no service uses any longer.
    pub(in crate::datapath) fn forget_sources(&mut self) -> Result<(), DatapathError> {
        if self.has_retired_sources() {
            self.recycle()?;
        }
        Ok(())
    }

    /// Makes the maps hold the source ranges that services use; yields how many did not.
    pub(in crate::datapath) fn repair_sources(&mut self) -> Result<usize, DatapathError> {
        Ok(self.v4.sources.repair()? + self.v6.sources.repair()?)
    }
}

impl<A: Encode> Slots<A> {
    fn retire(&mut self, range: &Range) {
        self.free.retire(range.base, length(range));
        self.sources.release(range.source_ranges);
    }
}

fn is_filled<A: Encode>(array: &Mapped<Endpoint<A>>, base: u32, wanted: &[Endpoint<A>]) -> bool
where
    Endpoint<A>: bytemuck::Pod,
{
    (base..)
        .zip(wanted)
        .all(|(slot, endpoint)| array.get(slot) == Some(*endpoint))
}
