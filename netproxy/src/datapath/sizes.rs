//! Which sizes maps are to have: by what somebody says, or by the machine. Pure.

use super::MapSize;
use super::layout::Layout;

/// Which sizes maps are to have.
#[derive(Debug)]
pub(super) struct Sizes {
    /// By the machine. A map that has less than twice as much, or more than half, keeps its size: memory that is
    /// plugged in is no reason.
    pub(super) by_machine: Vec<MapSize>,
    /// As somebody says.
    pub(super) asked: Vec<MapSize>,
}

impl Sizes {
    /// The size of a map that has this layout, when there is one `found`.
    pub(super) fn of(&self, name: &str, layout: &Layout, found: Option<&Layout>) -> u32 {
        let said = |sizes: &[MapSize]| {
            let mut sizes = sizes.iter().rev();
            sizes.find(|size| size.map == name).map(|size| size.entries)
        };
        if let Some(entries) = said(&self.asked) {
            return entries;
        }
        let Some(entries) = said(&self.by_machine) else {
            return layout.entries;
        };
        let found = found.map_or(entries, |found| found.entries);
        if found / 2 < entries && entries / 2 < found {
            found
        } else {
            entries
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::layout::Shape;

    fn layout(entries: u32) -> Layout {
        Layout {
            kind: 1,
            flags: 0,
            entries,
            key: Shape::default(),
            value: Shape::default(),
        }
    }

    fn size(asked: &[&str], found: Option<u32>) -> u32 {
        let by_machine = vec!["FLOWS_V4=1000".parse().unwrap()];
        let asked = asked.iter().map(|size| size.parse().unwrap()).collect();
        let sizes = Sizes { by_machine, asked };
        sizes.of("FLOWS_V4", &layout(7), found.map(layout).as_ref())
    }

    #[test]
    fn a_size_that_somebody_asks_for_is_what_the_map_gets() {
        assert_eq!(size(&["FLOWS_V4=1100"], Some(1000)), 1100);
        assert_eq!(size(&["FLOWS_V4=5", "FLOWS_V4=6"], None), 6);
        assert_eq!(size(&["FLOWS_V6=5"], None), 1000);
    }

    #[test]
    fn a_size_of_the_machine_is_left_until_it_is_half_or_twice_as_much() {
        for (found, wanted) in [(501, 501), (1900, 1900), (500, 1000), (2001, 1000)] {
            assert_eq!(size(&[], Some(found)), wanted, "{found}");
        }
    }
}
