//! A directory of manifests as the source.
//!
//! Every `*.yaml`, `*.yml` and `*.json` file in it is read, hidden files aside. Changes are picked
//! up while running, however they are made: written in place, renamed over, or by swapping the
//! symbolic link that a mounted `ConfigMap` consists of. What a file last held that was readable
//! stays in force until it is repaired or deleted, and a directory that vanishes removes nothing.

mod catalog;
mod directory;
mod document;
mod observer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::catalog::Catalog;
use self::directory::Directory;
use self::observer::Observer;
use super::{Interest, SourceError, SourceHealth};
use crate::model::Change;

/// Silence after which a burst of file events is over: an editor's or `cp`'s writes.
const QUIET: Duration = Duration::from_millis(100);
/// A burst is not waited for any longer than this.
const LONGEST_BURST: Duration = Duration::from_secs(1);
/// How often is looked without being told: for what inotify cannot see, such as changes behind
/// symbolic links or another directory under the same name.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Follows the directory until `stop` or until the receiver of `changes` is gone.
pub(super) async fn run(
    path: PathBuf,
    interest: Interest,
    changes: mpsc::Sender<Change>,
    health: watch::Sender<SourceHealth>,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    let unreadable = |source| SourceError::Directory {
        path: path.clone(),
        source,
    };
    // Observed before it is read, so that nothing falls in between.
    let mut observer = Observer::new(&path)?;
    let mut following = Following {
        directory: Directory::new(path.clone(), interest),
        catalog: Catalog::default(),
        changes,
        health,
    };
    following.health.send_replace(SourceHealth::Listing);
    let first = following.read(true).map_err(unreadable)?;
    if !following.tell_first(first).await {
        return Ok(());
    }
    let closed = following.changes.clone();
    tokio::select! {
        () = following.follow(&mut observer) => {}
        () = stop.cancelled() => {}
        () = closed.closed() => {}
    }
    Ok(())
}

/// What is known of the directory, and whom to tell.
struct Following {
    directory: Directory,
    catalog: Catalog,
    changes: mpsc::Sender<Change>,
    health: watch::Sender<SourceHealth>,
}

impl Following {
    /// Reads the directory and takes over what it holds now.
    fn read(&mut self, is_told: bool) -> io::Result<Vec<Change>> {
        if self.directory.read(is_told)? {
            Ok(self.catalog.replace(self.directory.files()))
        } else {
            Ok(Vec::new())
        }
    }

    /// Tells all there is. False if nobody listens.
    async fn tell_first(&mut self, changes: Vec<Change>) -> bool {
        if !self.catalog.has_node() && !self.tell(vec![Change::Node(None)]).await {
            return false;
        }
        let is_told = self.tell(changes).await && self.tell(vec![Change::Listed]).await;
        self.health.send_replace(SourceHealth::Connected);
        is_told
    }

    /// Tells every difference, until nobody listens any longer.
    async fn follow(&mut self, observer: &mut Observer) {
        loop {
            let is_told = observer.burst(QUIET, LONGEST_BURST, LOOK_INTERVAL).await;
            let renewed = observer.renew();
            match renewed.and_then(|is_another| self.read(is_told || is_another)) {
                Ok(changes) => {
                    self.recovered();
                    if !self.tell(changes).await {
                        return;
                    }
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    async fn tell(&self, changes: Vec<Change>) -> bool {
        for change in changes {
            if self.changes.send(change).await.is_err() {
                return false;
            }
        }
        true
    }

    fn recovered(&self) {
        let was_retrying = self.health.send_if_modified(|health| {
            let before = std::mem::replace(health, SourceHealth::Connected);
            before != SourceHealth::Connected
        });
        if was_retrying {
            let directory = self.directory.path().display();
            tracing::info!(%directory, "the manifests can be read again");
        }
    }

    fn failed(&self, error: &io::Error) {
        let reason = format!("{}: {error}", self.directory.path().display());
        let is_new = self.health.send_if_modified(|health| {
            let is_new = !matches!(health, SourceHealth::Retrying { .. });
            if is_new {
                *health = SourceHealth::Retrying {
                    since: Instant::now(),
                    reason: reason.clone(),
                };
            }
            is_new
        });
        if is_new {
            tracing::warn!(
                reason,
                remedy = "put the directory back",
                "the manifests cannot be read; the last known state stays in force"
            );
        }
    }
}
