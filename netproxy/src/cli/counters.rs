//! `netproxy counters`: what the programs have counted.

use clap::Args;
use netproxy::datapath::View;
use netproxy_common::Counter;
use serde::Serialize;

use super::table::{Cell, Listing, OutputArgs, Row};

const DETAILS: &str = "\
Counts are sums over all CPUs since the maps were made; they survive a restart of the agent.
`netproxy drops` tells whose packets were dropped.

With -o json, an array of objects: name, count (a number), is_drop (whether each of them is a
packet that was dropped or refused).

Examples:
  netproxy counters
  netproxy counters -o json | jq '.[] | select(.is_drop and .count > 0)'";

/// What to show.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct CountersArgs {
    #[command(flatten)]
    output: OutputArgs,
}

impl CountersArgs {
    pub(super) fn run(&self, view: &View, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let counters = view.counters()?;
        let rows = Counter::ALL
            .iter()
            .map(|counter| Ok(CounterRow::new(*counter, counters.get(*counter)?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        list.rows(self.output.output, &rows, "no counters")
    }
}

/// One counter.
#[derive(Debug, Serialize)]
struct CounterRow {
    name: &'static str,
    count: u64,
    is_drop: bool,
}

impl CounterRow {
    const fn new(counter: Counter, count: u64) -> Self {
        Self {
            name: counter.name(),
            count,
            is_drop: counter.is_drop(),
        }
    }
}

impl Row for CounterRow {
    const HEAD: &'static [&'static str] = &["COUNTER", "COUNT", "DROP"];

    fn cells(&self) -> Vec<Cell> {
        let Self {
            name,
            count,
            is_drop,
        } = self;
        vec![
            (*name).into(),
            count.to_string().into(),
            Cell::yes_or_no(*is_drop),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::table::tests::texts;
    use super::*;

    #[test]
    fn drops_are_told_from_events() {
        assert_eq!(
            texts(CounterRow::new(Counter::NoEndpoint, 4).cells()),
            ["no_endpoint", "4", "yes"]
        );
        assert_eq!(
            texts(CounterRow::new(Counter::NewFlow, 9).cells()),
            ["new_flow", "9", "no"]
        );
    }

    #[test]
    fn the_json_object_has_the_documented_fields() {
        assert_eq!(
            serde_json::to_value(CounterRow::new(Counter::NoRoute, 1)).unwrap(),
            json!({"name": "no_route", "count": 1, "is_drop": true})
        );
    }
}
