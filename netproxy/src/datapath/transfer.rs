//! The entries of one map, carried into another of a different layout or size.

use std::io;

use aya::maps::MapType;
use rustc_hash::{FxHashMap, FxHashSet};
use tracing::warn;

use super::DatapathError;
use super::contents::{Contents, ForeignMap};
use super::convert::Conversion;
use super::layout::Layout;

/// From one map into another.
#[derive(Debug)]
pub(super) struct Transfer {
    name: &'static str,
    from: ForeignMap,
    into: ForeignMap,
    key: Conversion,
    value: Conversion,
    /// What was carried last.
    carried: Contents,
}

/// Whether entries can be carried from a map of one layout into one of another; else the new map begins empty.
pub(super) fn is_possible(from: &Layout, into: &Layout) -> bool {
    (from.has_keys() && into.has_keys()
        // An entry of a trie counts for more keys than its own.
        && from.is(MapType::LpmTrie) == into.is(MapType::LpmTrie))
        || (from.is_array() && into.is_array() && from.is_per_cpu() == into.is_per_cpu())
}

impl Transfer {
    /// Between maps for which it [`is_possible`].
    pub(super) fn new(name: &'static str, from: ForeignMap, into: ForeignMap) -> Self {
        let (old, new) = (from.layout(), into.layout());
        Self {
            name,
            key: Conversion::new(&old.key, &new.key),
            value: Conversion::new(&old.value, &new.value),
            carried: from.nothing(),
            from,
            into,
        }
    }

    /// Its map.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Carries everything; yields how many entries.
    ///
    /// # Errors
    /// [`DatapathError::TooSmall`]: the new map cannot hold what the old one does.
    pub(super) fn carry_all(&mut self) -> Result<usize, DatapathError> {
        self.carried = self.look()?;
        let mut entries = self.into.nothing();
        if self.from.layout().is_array() {
            self.convert_array(&mut entries)?;
        } else {
            let mut lost = 0;
            for (key, value) in self.carried.iter() {
                lost += usize::from(!self.convert(key, value, &mut entries));
            }
            self.tell_of_lost(lost);
        }
        self.write(&entries)?;
        Ok(entries.count())
    }

    /// What is in the old map now.
    pub(super) fn look(&self) -> Result<Contents, DatapathError> {
        self.from
            .read()
            .map_err(DatapathError::map(self.name, "read"))
    }

    /// Carries what has come or changed in the old map since the last time, when there is `now` in it, and removes
    /// what is gone; yields how many.
    pub(super) fn carry_changes(&mut self, now: Contents) -> Result<usize, DatapathError> {
        let mut entries = self.into.nothing();
        let mut gone = Vec::new();
        let mut before = self.carried.by_key();
        let (mut lost, mut gone_count) = (0, 0);
        for (key, value) in now.iter() {
            if before.remove(key) != Some(value) {
                lost += usize::from(!self.convert(key, value, &mut entries));
            }
        }
        for key in before.into_keys() {
            gone_count += usize::from(self.key.convert(key, &mut gone));
        }
        self.tell_of_lost(lost);
        self.write(&entries)?;
        self.into
            .remove(&gone)
            .map_err(DatapathError::map(self.name, "written"))?;
        self.carried = now;
        Ok(entries.count() + gone_count)
    }

    /// The keys of the old map, of what was carried last.
    pub(super) fn carried_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.carried.iter().map(|(key, _)| key)
    }

    /// Carries what has come to the old map and has none of the `known` keys of it, unless the new map has it as well;
    /// yields how many entries.
    pub(super) fn carry_late(&self, known: &FxHashSet<&[u8]>) -> Result<usize, DatapathError> {
        let now = self.look()?;
        let late = now.iter().filter(|(key, _)| !known.contains(key));
        self.carry_missing(late, &FxHashSet::default())
    }

    /// Carries what is in none of `known` under its new key; yields how many entries.
    pub(super) fn carry_unknown(&self, known: &FxHashSet<Vec<u8>>) -> Result<usize, DatapathError> {
        self.carry_missing(self.look()?.iter(), known)
    }

    /// As [`Self::carry_unknown`], of these entries.
    fn carry_missing<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        known: &FxHashSet<Vec<u8>>,
    ) -> Result<usize, DatapathError> {
        let mut count = 0;
        for (key, value) in entries {
            let mut entry = self.into.nothing();
            if !self.convert(key, value, &mut entry) {
                continue;
            }
            for (key, value) in entry.iter().filter(|(key, _)| !known.contains(*key)) {
                let outcome = self.into.insert(key, value);
                count += usize::from(outcome.map_err(|error| self.refused(error))?);
            }
        }
        Ok(count)
    }

    /// The keys of the new map.
    pub(super) fn known(&self) -> Result<FxHashSet<Vec<u8>>, DatapathError> {
        let contents = self
            .into
            .read()
            .map_err(DatapathError::map(self.name, "read"))?;
        Ok(contents.iter().map(|(key, _)| key.to_vec()).collect())
    }

    /// Appends what an entry becomes; false: nothing, as a number does not fit.
    fn convert(&self, key: &[u8], value: &[u8], entries: &mut Contents) -> bool {
        let (keys, values) = entries.rooms();
        let begin = keys.len();
        if !self.key.convert(key, keys) {
            return false;
        }
        let fits = self.value.convert(value, values);
        if !fits {
            keys.truncate(begin);
        }
        fits
    }

    /// Index by index; what is zero is so in the new array already.
    fn convert_array(&self, entries: &mut Contents) -> Result<(), DatapathError> {
        let (old, new) = (self.from.layout(), self.into.layout());
        let nothing = vec![0; self.carried.value_bytes()];
        let mut lost = 0;
        for (index, (key, value)) in (0_u32..).zip(self.carried.iter()) {
            if value == nothing {
                continue;
            }
            if index >= new.entries {
                if old.is_per_cpu() {
                    continue;
                }
                return Err(self.too_small(self.carried.count()));
            }
            let (keys, values) = entries.rooms();
            let begin = values.len();
            let mut fits = true;
            if old.is_per_cpu() {
                for value in value.chunks_exact(old.value.bytes.next_multiple_of(8) as usize) {
                    fits &= self.value.convert(value, values);
                    values.resize(values.len().next_multiple_of(8), 0);
                }
            } else {
                fits = self.value.convert(value, values);
            }
            if fits {
                keys.extend_from_slice(key);
            } else {
                values.truncate(begin);
                lost += 1;
            }
        }
        self.tell_of_lost(lost);
        Ok(())
    }

    fn write(&self, entries: &Contents) -> Result<(), DatapathError> {
        self.into
            .write(entries)
            .map_err(|error| self.refused(error))
    }

    fn refused(&self, error: io::Error) -> DatapathError {
        match error.raw_os_error() {
            // A hash map says the one, a trie the other.
            Some(libc::E2BIG | libc::ENOSPC) => self.too_small(self.carried.count()),
            _ => DatapathError::map(self.name, "written")(error),
        }
    }

    fn too_small(&self, used: usize) -> DatapathError {
        DatapathError::TooSmall {
            map: self.name,
            entries: self.into.layout().entries,
            used,
        }
    }

    fn tell_of_lost(&self, count: usize) {
        if count > 0 {
            warn!(
                map = self.name,
                count, "entries with numbers too large for this release are left behind"
            );
        }
    }
}

/// What was in a map that is read twice while entries may move to another one: those of the second look, and those of
/// the first that are not in `other` either, as they may have moved back unseen.
pub(super) fn of_both_looks(first: &Contents, mut second: Contents, other: &Contents) -> Contents {
    let missed: Vec<_> = {
        let (second, other): (FxHashMap<_, _>, FxHashMap<_, _>) = (second.by_key(), other.by_key());
        let is_missed =
            |(key, _): &(&[u8], &[u8])| !second.contains_key(key) && !other.contains_key(key);
        first.iter().filter(is_missed).collect()
    };
    for (key, value) in missed {
        second.push(key, value);
    }
    second
}
