//! Which sets of source ranges there are, and how many use each. Pure.

use std::collections::BTreeMap;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

/// Sets by number and by content. Zero stands for no ranges and is never a set's number.
#[derive(Debug, Default)]
pub(super) struct Sets {
    ranges: BTreeMap<u32, Vec<IpNet>>,
    users: FxHashMap<u32, usize>,
    by_ranges: FxHashMap<Vec<IpNet>, u32>,
    /// Where the search for an unused number goes on.
    next: u32,
}

/// The number of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquired {
    /// It stands in the map.
    Known(u32),
    /// It has yet to be written.
    New(u32),
}

impl Sets {
    /// The sets that a map holds, and the numbers that headers name, once per header.
    pub(super) fn new(
        held: BTreeMap<u32, Vec<IpNet>>,
        named: impl IntoIterator<Item = u32>,
    ) -> Self {
        let by_ranges = held
            .iter()
            .map(|(number, ranges)| (ranges.clone(), *number))
            .collect();
        let mut sets = Self {
            ranges: held,
            by_ranges,
            ..Self::default()
        };
        for number in named.into_iter().filter(|number| *number != 0) {
            // One that is named but not held keeps its number, too; its user will want another.
            sets.ranges.entry(number).or_default();
            *sets.users.entry(number).or_default() += 1;
        }
        sets.next = sets.ranges.keys().next_back().copied().unwrap_or(0);
        sets
    }

    /// One user more of the set of `ranges`, which are sorted and without duplicates.
    pub(super) fn acquire(&mut self, ranges: &[IpNet]) -> Acquired {
        if ranges.is_empty() {
            return Acquired::Known(0);
        }
        if let Some(number) = self.by_ranges.get(ranges) {
            *self.users.entry(*number).or_default() += 1;
            return Acquired::Known(*number);
        }
        let number = self.unused();
        self.ranges.insert(number, ranges.to_vec());
        self.by_ranges.insert(ranges.to_vec(), number);
        self.users.insert(number, 1);
        Acquired::New(number)
    }

    /// One user less.
    pub(super) fn release(&mut self, number: u32) {
        if let Some(users) = self.users.get_mut(&number) {
            *users -= 1;
            if *users == 0 {
                self.users.remove(&number);
            }
        }
    }

    /// Every set, used or not.
    pub(super) fn ranges(&self) -> &BTreeMap<u32, Vec<IpNet>> {
        &self.ranges
    }

    /// Whether any set has no user.
    pub(super) fn has_retired(&self) -> bool {
        self.users.len() < self.ranges.len()
    }

    /// The sets without users.
    pub(super) fn retired(&self) -> Vec<(u32, Vec<IpNet>)> {
        let retired = self
            .ranges
            .iter()
            .filter(|(number, _)| !self.users.contains_key(number));
        retired
            .map(|(number, ranges)| (*number, ranges.clone()))
            .collect()
    }

    /// A set without users stands in the map no longer.
    pub(super) fn forget(&mut self, number: u32) {
        if let Some(ranges) = self.ranges.remove(&number)
            && self.by_ranges.get(&ranges) == Some(&number)
        {
            self.by_ranges.remove(&ranges);
        }
    }

    fn unused(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1);
            if self.next != 0 && !self.ranges.contains_key(&self.next) {
                return self.next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn equal_ranges_share_a_set_and_others_do_not() {
        let mut sets = Sets::default();
        let (ten, eleven) = (ranges(&["10.0.0.0/8"]), ranges(&["11.0.0.0/8"]));

        let acquired = [&ten, &ten, &eleven].map(|ranges| sets.acquire(ranges));

        assert_eq!(
            acquired,
            [Acquired::New(1), Acquired::Known(1), Acquired::New(2)]
        );
        assert_eq!(sets.acquire(&[]), Acquired::Known(0));
    }

    #[test]
    fn a_set_is_retired_with_its_last_user_and_can_be_taken_up_again() {
        let mut sets = Sets::default();
        let ten = ranges(&["10.0.0.0/8"]);
        sets.acquire(&ten);
        sets.acquire(&ten);

        sets.release(1);
        let with_one_user = sets.has_retired();
        sets.release(1);
        let without = sets.retired();
        let again = sets.acquire(&ten);

        assert!(!with_one_user);
        assert_eq!(without, [(1, ten)]);
        assert_eq!((again, sets.has_retired()), (Acquired::Known(1), false));
    }

    #[test]
    fn a_number_is_not_reused_before_its_set_is_forgotten() {
        let mut sets = Sets::default();
        sets.acquire(&ranges(&["10.0.0.0/8"]));
        sets.release(1);
        // As if all numbers had been used once.
        sets.next = 0;

        let while_retired = sets.acquire(&ranges(&["11.0.0.0/8"]));
        sets.forget(1);
        sets.next = 0;

        assert_eq!(while_retired, Acquired::New(2));
        assert_eq!(sets.acquire(&ranges(&["12.0.0.0/8"])), Acquired::New(1));
    }

    #[test]
    fn sets_are_taken_over_with_their_users_and_the_others_are_retired() {
        let held = BTreeMap::from([(3, ranges(&["10.0.0.0/8"])), (7, ranges(&["11.0.0.0/8"]))]);

        let mut sets = Sets::new(held, [0, 3, 3, 0]);

        assert_eq!(sets.retired(), [(7, ranges(&["11.0.0.0/8"]))]);
        assert_eq!(sets.acquire(&ranges(&["10.0.0.0/8"])), Acquired::Known(3));
        assert_eq!(sets.acquire(&ranges(&["12.0.0.0/8"])), Acquired::New(8));
        for _ in 0..3 {
            sets.release(3);
        }
        assert_eq!(sets.retired().len(), 2);
    }

    #[test]
    fn a_set_that_was_named_but_lost_keeps_its_number_until_its_user_has_another() {
        let mut sets = Sets::new(BTreeMap::new(), [5]);

        let other = sets.acquire(&ranges(&["10.0.0.0/8"]));
        sets.release(5);

        assert_eq!(other, Acquired::New(6));
        assert_eq!(sets.retired(), [(5, Vec::new())]);
    }
}
