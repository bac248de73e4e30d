//! Notices that something in the directory may have changed.
//!
//! inotify watches an inode, not a name. When another directory has taken the name (it was
//! deleted and made again, or the name is a symbolic link that now points elsewhere), the watch
//! is moved to it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::source::SourceError;

/// A watch on the directory that currently has the name.
#[derive(Debug)]
pub(super) struct Observer {
    path: PathBuf,
    identity: Identity,
    watcher: RecommendedWatcher,
    events: mpsc::Receiver<()>,
    told: mpsc::Sender<()>,
}

/// Device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64, u64);

impl Observer {
    /// Begins to watch the directory at `path`.
    pub(super) fn new(path: &Path) -> Result<Self, SourceError> {
        let identity = Identity::of(path).map_err(|source| SourceError::Directory {
            path: path.to_owned(),
            source,
        })?;
        // One event in waiting says it all: something has happened.
        let (told, events) = mpsc::channel(1);
        let watcher = watcher(path, told.clone()).map_err(|source| SourceError::Watch {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            identity,
            watcher,
            events,
            told,
        })
    }

    /// Waits for something to happen and for `quiet` to follow, but no longer than `longest` from
    /// the first event. Without any event, ends after `interval`: false.
    pub(super) async fn burst(
        &mut self,
        quiet: Duration,
        longest: Duration,
        interval: Duration,
    ) -> bool {
        if timeout(interval, self.events.recv()).await.is_err() {
            return false;
        }
        let end = Instant::now() + longest;
        while let Ok(Some(())) =
            timeout_at(end.min(Instant::now() + quiet), self.events.recv()).await
        {}
        true
    }

    /// Moves the watch if another directory has taken the name. True if so.
    pub(super) fn renew(&mut self) -> io::Result<bool> {
        let identity = Identity::of(&self.path)?;
        let is_another = identity != self.identity;
        if is_another {
            self.watcher = watcher(&self.path, self.told.clone()).map_err(io::Error::other)?;
            self.identity = identity;
        }
        Ok(is_another)
    }
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self(metadata.dev(), metadata.ino()))
    }
}

fn watcher(path: &Path, told: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is what we do ourselves. An error may hide an event.
        let is_reading = event.is_ok_and(
            |event| matches!(event.kind, EventKind::Access(kind) if !is_end_of_writing(kind)),
        );
        if !is_reading {
            // Full is fine, see above; closed means that nobody waits any longer.
            let _ = told.try_send(());
        }
    })?;
    watcher.watch(path, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn is_end_of_writing(kind: notify::event::AccessKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    kind == AccessKind::Close(AccessMode::Write)
}
