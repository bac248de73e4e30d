//! The table of calls.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::call::CallResult;

/// Who called what, who answered how often, and as whom they saw the caller.
pub(crate) fn show(results: &[CallResult]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([
            "caller",
            "asked for",
            "answered by",
            "who saw the client as",
            "",
        ]);
    for result in results {
        let CallResult {
            caller,
            frontend,
            endpoints,
            seen_as,
            complaint,
        } = result;
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(endpoint, count)| format!("{endpoint} ×{count}"))
            .collect();
        let seen_as: Vec<_> = seen_as
            .iter()
            .map(|(client, by)| match seen_as.len() {
                1 => client.clone(),
                _ => format!(
                    "{client}: {}",
                    by.iter().cloned().collect::<Vec<_>>().join(", ")
                ),
            })
            .collect();
        let verdict = complaint
            .as_ref()
            .map_or_else(|| "✓".to_owned(), |why| format!("✗ {why}"));
        table.add_row([
            caller.clone(),
            frontend.clone(),
            endpoints.join("  "),
            seen_as.join("\n"),
            verdict,
        ]);
    }
    table
}
