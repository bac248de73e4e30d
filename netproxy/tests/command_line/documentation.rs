//! What the pages for operators say is what the binary does.

use netproxy_common::Counter;

const OPERATIONS: &str = include_str!("../../../docs/operations.md");

#[test]
fn every_counter_is_told_of_as_the_command_tells_it() {
    for counter in Counter::ALL {
        let drop = if counter.is_drop() { "yes" } else { "" };
        let meaning = counter.meaning().replace("  ", " ");
        let row = format!("| `{}` | {drop} | {} |\n", counter.name(), meaning.trim());

        assert!(OPERATIONS.contains(&row), "no row {row}");
    }
}
