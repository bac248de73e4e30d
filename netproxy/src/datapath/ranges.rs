//! Which slots of an array are free: first fit over runs, with quarantine.
//!
//! A run that programs may still be reading is quarantined; only after a grace period
//! (`Ranges::recycle`) is it handed out again.

use std::collections::BTreeMap;

/// An allocator of runs of slots.
#[derive(Debug)]
pub(super) struct Ranges {
    /// Free runs: start -> length; no two touch.
    free: BTreeMap<u32, u32>,
    quarantine: Vec<(u32, u32)>,
}

impl Ranges {
    /// All slots from `first` to the array's end are free, but those in `taken` (start, length).
    pub(super) fn new(
        first: u32,
        entries: u32,
        taken: impl IntoIterator<Item = (u32, u32)>,
    ) -> Self {
        let mut taken: Vec<_> = taken
            .into_iter()
            .filter(|(_, length)| *length > 0)
            .collect();
        taken.sort_unstable();
        let mut free = BTreeMap::new();
        let mut next = first;
        for (start, length) in taken {
            if start > next {
                free.insert(next, start - next);
            }
            next = next.max(start.saturating_add(length));
        }
        if next < entries {
            free.insert(next, entries - next);
        }
        Self {
            free,
            quarantine: Vec::new(),
        }
    }

    /// A run of `length` slots; None: no free run is so long. A length of zero takes nothing.
    pub(super) fn take(&mut self, length: u32) -> Option<u32> {
        if length == 0 {
            return Some(0);
        }
        let (start, free) = self
            .free
            .iter()
            .find(|(_, free)| **free >= length)
            .map(|(start, free)| (*start, *free))?;
        self.free.remove(&start);
        if free > length {
            self.free.insert(start + length, free - length);
        }
        Some(start)
    }

    /// Gives a run back that programs may still be reading.
    pub(super) fn retire(&mut self, start: u32, length: u32) {
        if length > 0 {
            self.quarantine.push((start, length));
        }
    }

    /// How many slots are free.
    pub(super) fn free(&self) -> u32 {
        self.free.values().sum()
    }

    /// Whether a grace period would set anything free.
    pub(super) fn has_quarantine(&self) -> bool {
        !self.quarantine.is_empty()
    }

    /// A grace period has passed since the last `retire`.
    pub(super) fn recycle(&mut self) {
        for (start, length) in std::mem::take(&mut self.quarantine) {
            self.free_run(start, length);
        }
    }

    fn free_run(&mut self, mut start: u32, mut length: u32) {
        if let Some((before, free)) = self
            .free
            .range(..start)
            .next_back()
            .map(|(start, free)| (*start, *free))
            && before + free == start
        {
            self.free.remove(&before);
            start = before;
            length += free;
        }
        if let Some(free) = self.free.remove(&(start + length)) {
            length += free;
        }
        self.free.insert(start, length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_retired_run_is_not_handed_out_before_the_grace_period() {
        let mut ranges = Ranges::new(0, 8, []);
        let first = ranges.take(8);

        ranges.retire(0, 8);
        let before = ranges.take(1);
        ranges.recycle();

        assert_eq!((first, before, ranges.take(8)), (Some(0), None, Some(0)));
    }

    #[test]
    fn what_is_taken_at_adoption_is_never_handed_out() {
        let mut ranges = Ranges::new(1, 10, [(3, 2), (8, 1)]);

        let runs: Vec<_> = [2, 3, 1]
            .into_iter()
            .map(|length| ranges.take(length))
            .collect();

        assert_eq!(runs, [Some(1), Some(5), Some(9)]);
        assert_eq!(ranges.take(1), None);
    }

    proptest! {
        #[test]
        fn runs_never_overlap_and_nothing_is_lost(
            steps in prop::collection::vec((1_u32..9, any::<bool>()), 0..200),
        ) {
            let mut ranges = Ranges::new(0, 64, []);
            let mut held: Vec<(u32, u32)> = Vec::new();
            for (length, gives_back) in steps {
                if gives_back && !held.is_empty() {
                    let (start, length) = held.swap_remove(length as usize % held.len());
                    ranges.retire(start, length);
                    ranges.recycle();
                } else if let Some(start) = ranges.take(length) {
                    prop_assert!(start + length <= 64);
                    for (other, other_length) in &held {
                        prop_assert!(start + length <= *other || other + other_length <= start);
                    }
                    held.push((start, length));
                }
            }
            for (start, length) in held {
                ranges.retire(start, length);
            }
            ranges.recycle();
            prop_assert_eq!(ranges.take(64), Some(0));
        }
    }
}
