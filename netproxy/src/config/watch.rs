//! Tells when the configuration file has changed.
//!
//! What counts is the content: a file that is written anew with the same one has not changed. The
//! directory is watched, not the file: editors replace files, and a mounted `ConfigMap` is a link
//! to `..data/…` where `..data` is a link that the kubelet renames. Where the file is a link to
//! another directory, that one is watched, too; and what no event tells is seen after a while.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::error::ConfigError;
use super::file::ConfigFile;

/// How often the file is looked at without being told to.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// How long a writer may take between emptying the file and filling it.
const SETTLING: Duration = Duration::from_millis(100);

/// A watch on a configuration file.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    content: Vec<u8>,
    /// Changes with every event; true once the file has got another name.
    events: watch::Receiver<bool>,
    /// Watches for as long as it lives.
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Begins to watch `file`.
    ///
    /// # Errors
    /// [`ConfigError::Watch`].
    pub fn new(file: &ConfigFile) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Watch {
            path: file.path.clone(),
            source,
        };
        let (sender, events) = watch::channel(false);
        let name = file.path.file_name().map(OsStr::to_owned);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if changes_something(&event) {
                let is_renamed = event.is_ok_and(|event| is_renaming(&event, name.as_deref()));
                sender.send_modify(|renamed| *renamed |= is_renamed);
            }
        })
        .map_err(failed)?;
        for directory in directories(&file.path) {
            watcher
                .watch(&directory, RecursiveMode::NonRecursive)
                .map_err(failed)?;
        }
        Ok(Self {
            path: file.path.clone(),
            content: file.content.clone(),
            events,
            _watcher: watcher,
        })
    }

    /// Waits until the file says something else, or has another name; yields which.
    pub async fn changed(mut self) -> ConfigError {
        let mut is_absent = false;
        loop {
            match fs::read(&self.path) {
                Ok(content) if content == self.content => is_absent = false,
                Ok(content) if !content.is_empty() => {
                    return ConfigError::Changed { path: self.path };
                }
                // Just emptied, to be filled at once.
                Ok(_) => {
                    sleep(SETTLING).await;
                    if fs::read(&self.path).is_ok_and(|content| content != self.content) {
                        return ConfigError::Changed { path: self.path };
                    }
                }
                Err(error) => {
                    if !is_absent {
                        warn!(file = %self.path.display(), %error, "the configuration cannot be read any longer; what it said stays in force");
                    }
                    is_absent = true;
                }
            }
            match timeout(LOOK_INTERVAL, self.events.changed()).await {
                Ok(Ok(())) if *self.events.borrow_and_update() => {
                    return ConfigError::Renamed { path: self.path };
                }
                Ok(Ok(())) | Err(_) => {}
                // The watcher's thread is gone; looking now and then remains.
                Ok(Err(_)) => sleep(LOOK_INTERVAL).await,
            }
        }
    }
}

/// The directory that the file is in, and the one that what it links to is in.
fn directories(path: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    let mut directories = vec![parent(path)];
    if let Ok(target) = fs::canonicalize(path) {
        let target = parent(&target);
        if fs::canonicalize(&directories[0]).is_ok_and(|directory| directory != target) {
            directories.push(target);
        }
    }
    directories
}

/// Reading does not, and it is what we do ourselves. An error may hide an event.
fn changes_something(event: &notify::Result<Event>) -> bool {
    !event.as_ref().is_ok_and(|event| {
        matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
    })
}

/// Whether the file called `name` was given another name.
fn is_renaming(event: &Event, name: Option<&OsStr>) -> bool {
    let is_from = event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::From));
    let first = event.paths.first();
    is_from && first.is_some_and(|path| path.file_name() == name)
}
