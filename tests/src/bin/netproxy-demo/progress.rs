//! One line per step, with how long it took.

use std::io::{self, Write as _};
use std::time::Instant;

use anyhow::Result;

/// Says what is being done, does it, and says how long it took.
pub(crate) fn step<T>(what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    print!("{what} … ");
    // The line is there while the work is done.
    io::stdout().flush()?;
    let began = Instant::now();
    let outcome = act();
    match &outcome {
        Ok(_) => println!("{:.1} s", began.elapsed().as_secs_f64()),
        Err(_) => println!("failed"),
    }
    outcome
}
