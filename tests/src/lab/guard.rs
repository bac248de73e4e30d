//! What ends a lab.

use std::{sync::Arc, thread};

use anyhow::Result;

use crate::{journal::Journal, run_dir::RunDir, teardown, watchdog::Watchdog};

/// Exists from before the first thing of a lab is made. Dropping it removes the lab.
#[derive(Debug)]
pub(super) struct Guard {
    journal: Arc<Journal>,
    watchdog: Watchdog,
    is_kept: bool,
}

impl Guard {
    pub(super) fn new(run_dir: RunDir) -> Result<Self> {
        let watchdog = Watchdog::start(run_dir.path())?;
        Ok(Self {
            journal: Arc::new(Journal::new(run_dir)),
            watchdog,
            is_kept: false,
        })
    }

    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Dropping it removes nothing any more.
    pub(super) fn keep(&mut self) -> Result<()> {
        self.journal.run_dir().keep()?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.journal.logs());
        }
        let directory = self.journal.run_dir().path();
        if let Err(error) = self.watchdog.release()
            && !self.is_kept
            && let Err(rest) = teardown::remove(directory)
        {
            eprintln!(
                "{error:#}; {} is not removed: {rest:#}",
                directory.display()
            );
        }
        self.journal.reap();
    }
}
