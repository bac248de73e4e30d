//! Errors with what caused them, for one line of a log or of a report.

use std::error::Error;

/// The error, and its causes from the nearest to the first.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
