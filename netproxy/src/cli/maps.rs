//! `netproxy maps`: how full the flow table is.

use clap::Args;
use netproxy::datapath::{MapFill, View};
use serde::Serialize;

use super::table::{Cell, Listing, OutputArgs, Row};

const DETAILS: &str = "\
FLOWS_* hold flows, two entries each; nothing evicts them. A quarter of the room may be taken by flows that no client
has confirmed; what a flood opens beyond, and what finds no room (counted as assured_full), is in PENDING_*, where
the one that has been silent for longest makes way. Entries past their deadline count until the agent removes them.

With -o json, an array of objects: map, entries, capacity (numbers).

Examples:
  netproxy maps
  netproxy maps -o json | jq '.[] | select(.entries * 10 > .capacity * 9)'";

/// What to show.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct MapsArgs {
    #[command(flatten)]
    output: OutputArgs,
}

impl MapsArgs {
    pub(super) fn run(&self, view: &View, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let rows: Vec<_> = view.flow_fills()?.into_iter().map(MapRow::from).collect();
        list.rows(self.output.output, &rows, "no maps")
    }
}

/// One map.
#[derive(Debug, Serialize)]
struct MapRow {
    map: &'static str,
    entries: u32,
    capacity: u32,
}

impl From<MapFill> for MapRow {
    fn from(fill: MapFill) -> Self {
        let MapFill {
            map,
            entries,
            capacity,
        } = fill;
        Self {
            map,
            entries,
            capacity,
        }
    }
}

impl Row for MapRow {
    const HEAD: &'static [&'static str] = &["MAP", "ENTRIES", "CAPACITY", "FULL"];

    fn cells(&self) -> Vec<Cell> {
        let Self {
            map,
            entries,
            capacity,
        } = self;
        let hundredths = u64::from(*entries) * 100 / u64::from(*capacity).max(1);
        vec![
            (*map).into(),
            entries.to_string().into(),
            capacity.to_string().into(),
            format!("{hundredths}%").into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::table::tests::texts;
    use super::*;

    const ROW: MapRow = MapRow {
        map: "FLOWS_V4",
        entries: 3,
        capacity: 8,
    };

    #[test]
    fn a_map_is_as_full_as_its_entries_make_it() {
        assert_eq!(texts(ROW.cells()), ["FLOWS_V4", "3", "8", "37%"]);
    }

    #[test]
    fn the_json_object_has_the_documented_fields() {
        assert_eq!(
            serde_json::to_value(ROW).unwrap(),
            json!({"map": "FLOWS_V4", "entries": 3, "capacity": 8})
        );
    }
}
