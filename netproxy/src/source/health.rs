//! How a source fares.

use std::time::Instant;

/// Whether what a source has sent is complete and current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceHealth {
    /// It has not been listed completely yet.
    Listing,
    /// It has been listed, and changes are being followed.
    Connected,
    /// It cannot be read; what is known stays in force and reading is tried again and again.
    Retrying {
        /// Since when.
        since: Instant,
        /// Why, in one line.
        reason: String,
    },
}
