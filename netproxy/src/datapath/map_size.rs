//! The size of a map, where the default does not fit: `MAP=ENTRIES`.

use std::str::FromStr;

use thiserror::Error;

use super::Pins;

/// How many entries a map is created with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSize {
    /// The map.
    pub(super) map: &'static str,
    /// Its entries.
    pub(super) entries: u32,
}

/// Why something is not the size of a map.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MapSizeError {
    /// It has no equals sign.
    #[error("`{0}` is not of the form MAP=ENTRIES, for example FLOWS_V4=1048576")]
    Form(String),
    /// There is no such map, or its size is fixed.
    #[error("`{0}` is no map with a size of its own; there are {known}", known = known())]
    Map(String),
    /// Not a number, or none that a map can have.
    #[error("`{0}` is no number of entries from 1 to 16777216")]
    Entries(String),
}

/// What the kernel's arrays and this page of documentation can bear.
pub(super) const MOST_ENTRIES: u32 = 1 << 24;

/// Maps whose size follows from what they hold.
const FIXED: [&str; 3] = ["COUNTERS", "EVENTS", "LISTENER"];

impl MapSize {
    /// Whether it is of the same map as `other`.
    #[must_use]
    pub fn is_of_map_of(&self, other: &Self) -> bool {
        self.map == other.map
    }
}

fn sizable() -> impl Iterator<Item = &'static str> {
    Pins::map_names().filter(|name| !FIXED.contains(name))
}

fn known() -> String {
    sizable().collect::<Vec<_>>().join(", ")
}

impl FromStr for MapSize {
    type Err = MapSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (map, entries) = text
            .split_once('=')
            .ok_or_else(|| MapSizeError::Form(text.to_owned()))?;
        let map = sizable()
            .find(|name| *name == map)
            .ok_or_else(|| MapSizeError::Map(map.to_owned()))?;
        let entries = entries
            .parse()
            .ok()
            .filter(|entries| (1..=MOST_ENTRIES).contains(entries))
            .ok_or_else(|| MapSizeError::Entries(entries.to_owned()))?;
        Ok(Self { map, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_names_its_map() {
        assert_eq!(
            "FLOWS_V4=1000".parse(),
            Ok(MapSize {
                map: "FLOWS_V4",
                entries: 1000
            })
        );
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_reason() {
        for (text, hint) in [
            ("FLOWS_V4", "MAP=ENTRIES"),
            ("FLOWS=1", "FLOWS_V4"),
            ("COUNTERS=1", "no map"),
            ("FLOWS_V4=0", "from 1"),
            ("FLOWS_V4=many", "from 1"),
        ] {
            let error = text.parse::<MapSize>().unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}
