//! Service ids: indices into `SERVICES`, never reused while a flow carries them.

use std::collections::{BTreeSet, VecDeque};

use rustc_hash::FxHashSet;

/// Hands out service ids. Id zero is never used, so that zeroed memory names no service.
#[derive(Debug)]
pub(super) struct ServiceIds {
    next: u32,
    end: u32,
    /// Fresh ids from here on are worth less than used ones.
    preferred_end: u32,
    free: VecDeque<u32>,
    /// Released, but flows may still carry them.
    retired: BTreeSet<u32>,
}

impl ServiceIds {
    /// Ids below `end`, of which `used` name services and `carried` are found in flows.
    pub(super) fn new(end: u32, used: &BTreeSet<u32>, carried: &FxHashSet<u32>) -> Self {
        let retired: BTreeSet<u32> = carried
            .iter()
            .copied()
            .filter(|id| !used.contains(id))
            .collect();
        let next = used.last().max(retired.last()).map_or(1, |last| last + 1);
        let free = (1..next)
            .filter(|id| !used.contains(id) && !retired.contains(id))
            .collect();
        Self {
            next,
            end,
            preferred_end: end,
            free,
            retired,
        }
    }

    /// Prefers ids below `end`.
    pub(super) fn preferring_below(mut self, end: u32) -> Self {
        self.preferred_end = end.min(self.end);
        self
    }

    /// A fresh id of those preferred, else the one that has been free for longest, else any; None: all are
    /// in use.
    pub(super) fn take(&mut self) -> Option<u32> {
        self.fresh_below(self.preferred_end)
            .or_else(|| self.free.pop_front())
            .or_else(|| self.fresh_below(self.end))
    }

    fn fresh_below(&mut self, end: u32) -> Option<u32> {
        (self.next < end).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// The service is gone; its flows may live on.
    pub(super) fn release(&mut self, id: u32) {
        self.retired.insert(id);
    }

    /// No flow carries any id but those in `in_use`. Yields those that are free from now on.
    pub(super) fn recycle(&mut self, in_use: &FxHashSet<u32>) -> BTreeSet<u32> {
        let (still, free): (BTreeSet<u32>, BTreeSet<u32>) =
            self.retired.iter().partition(|id| in_use.contains(id));
        self.retired = still;
        self.free.extend(&free);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_not_reused_while_a_flow_carries_it() {
        let mut ids = ServiceIds::new(2, &BTreeSet::new(), &FxHashSet::default());
        let id = ids.take();
        ids.release(1);

        ids.recycle(&FxHashSet::from_iter([1]));
        let while_carried = ids.take();
        ids.recycle(&FxHashSet::default());

        assert_eq!((id, while_carried, ids.take()), (Some(1), None, Some(1)));
    }

    #[test]
    fn used_ids_come_before_fresh_ones_that_are_not_preferred() {
        let used = BTreeSet::from([1, 2]);
        let mut ids = ServiceIds::new(6, &used, &FxHashSet::default()).preferring_below(4);
        ids.release(1);
        ids.recycle(&FxHashSet::default());

        let taken: Vec<_> = std::iter::from_fn(|| ids.take()).collect();

        assert_eq!(taken, [3, 1, 4, 5]);
    }

    #[test]
    fn ids_found_in_flows_at_the_start_are_not_handed_out() {
        let mut ids = ServiceIds::new(6, &BTreeSet::from([1]), &FxHashSet::from_iter([1, 3]));

        let taken: Vec<_> = std::iter::from_fn(|| ids.take()).collect();

        assert_eq!(taken, [4, 5, 2]);
    }
}
