//! Follows the cgroups of this node's pods.
//!
//! They are found by the names that the kubelet gives them, at whatever depth. Directories that are
//! no pod's are watched by inotify before they are listed, so nothing falls between; what is below a
//! pod's is not looked at: it is the pod's own, and may be called anything. Events that were lost, and
//! directories that could not be watched, are made up for by reading everything again, which also
//! happens now and then. Reading is left to a thread that may block.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use futures::StreamExt as _;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use netproxy_common::CGROUP_LEVELS;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NodeError;
use crate::model::PodUid;

/// The cgroups of pods, each with its id, which is its directory's inode number (`cgroup_id` in
/// kernel/cgroup/cgroup.c).
pub type PodCgroups = BTreeSet<(PodUid, u64)>;

/// How often everything is read again in case something was missed.
const REPAIR_INTERVAL: Duration = Duration::from_secs(30);
/// Events that are taken together.
const MOST_EVENTS: usize = 256;
/// Room for events that are read at once; one has at most 16 bytes and a name.
const EVENT_BUFFER_BYTES: usize = 16 << 10;

/// Reads the pods' cgroups below `base`, then follows them in a task of `tasks` until `stop`.
///
/// The receiver holds the first state already. It sees every later state, or the latest of those
/// that came while its owner was busy, and is closed after `stop`.
pub async fn watch_pod_cgroups(
    tasks: &TaskTracker,
    stop: CancellationToken,
    base: PathBuf,
) -> Result<watch::Receiver<Arc<PodCgroups>>, NodeError> {
    let failed = |reason| NodeError::Cgroups {
        base: base.clone(),
        reason,
    };
    let inotify = Inotify::init().map_err(NodeError::Inotify)?;
    let tree = Tree::new(base.clone(), inotify.watches());
    let events = inotify
        .into_event_stream(vec![0; EVENT_BUFFER_BYTES])
        .map_err(NodeError::Inotify)?;
    let (tree, outcome) = tree.work(Tree::read_all).await.map_err(failed)?;
    outcome.map_err(failed)?;
    let (sender, receiver) = watch::channel(Arc::new(tree.pods()));
    tasks.spawn(async move {
        stop.run_until_cancelled(follow(tree, events, sender)).await;
    });
    Ok(receiver)
}

/// Ends only when a thread for reading cannot be had.
async fn follow(
    mut tree: Tree,
    events: EventStream<Vec<u8>>,
    sender: watch::Sender<Arc<PodCgroups>>,
) {
    let mut events = events.ready_chunks(MOST_EVENTS);
    let mut repair = time::interval_at(Instant::now() + REPAIR_INTERVAL, REPAIR_INTERVAL);
    repair.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let batch = tokio::select! {
            Some(batch) = events.next() => batch.into_iter().collect::<io::Result<Vec<_>>>().ok(),
            _ = repair.tick() => None,
        };
        let work = |tree: &mut Tree| match batch {
            // What follows a failure is lost, too.
            Some(events) => tree.take(events).or_else(|_| tree.read_all()),
            None => tree.read_all(),
        };
        let outcome = match tree.work(work).await {
            Ok((kept, outcome)) => {
                tree = kept;
                outcome
            }
            Err(error) => {
                tracing::error!(%error, "the cgroups of pods are no longer followed");
                return;
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(
                %error, base = %tree.base.display(),
                "the cgroups of pods cannot be read; those last known stay in force"
            );
        }
        publish(&sender, tree.pods());
    }
}

fn publish(sender: &watch::Sender<Arc<PodCgroups>>, pods: PodCgroups) {
    sender.send_if_modified(|published| {
        let is_new = **published != pods;
        if is_new {
            *published = Arc::new(pods);
        }
        is_new
    });
}

/// The part of the hierarchy that is looked at.
#[derive(Debug)]
struct Tree {
    base: PathBuf,
    watches: Watches,
    found: Found,
    /// Whether the log knows that not every directory can be watched.
    is_complaining: bool,
}

/// What is in it.
#[derive(Debug, Default)]
struct Found {
    /// Directories that are no pod's, with their level below the base.
    watched: HashMap<WatchDescriptor, (PathBuf, i32)>,
    pods: BTreeMap<PathBuf, (PodUid, u64)>,
}

impl Tree {
    fn new(base: PathBuf, watches: Watches) -> Self {
        Self {
            base,
            watches,
            found: Found::default(),
            is_complaining: false,
        }
    }

    fn pods(&self) -> PodCgroups {
        self.found.pods.values().copied().collect()
    }

    /// Does `work` on a thread that may block.
    async fn work<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Self) -> T + Send + 'static,
    ) -> io::Result<(Self, T)> {
        let work = move || {
            let outcome = work(&mut self);
            (self, outcome)
        };
        spawn_blocking(work).await.map_err(io::Error::other)
    }

    /// Reads everything anew. If that fails, what was known stays.
    fn read_all(&mut self) -> io::Result<()> {
        let before = std::mem::take(&mut self.found);
        let base = self.base.clone();
        let outcome = self.read(&base, 0);
        if outcome.is_err() {
            self.found = before;
        }
        outcome
    }

    /// Brings up to date what `events` touch.
    fn take(&mut self, events: Vec<EventOwned>) -> io::Result<()> {
        for event in events {
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                tracing::debug!("events of cgroups were lost; reading everything again");
                return self.read_all();
            }
            if event.mask.contains(EventMask::IGNORED) {
                self.found.watched.remove(&event.wd);
                continue;
            }
            let Some((directory, level)) = self.found.watched.get(&event.wd) else {
                continue;
            };
            let (Some(name), level) = (event.name, level + 1) else {
                continue;
            };
            let path = directory.join(&name);
            if event.mask.contains(EventMask::DELETE) {
                self.found.pods.remove(&path);
            } else if event.mask.contains(EventMask::CREATE | EventMask::ISDIR) {
                match fs::metadata(&path) {
                    Ok(found) => self.meet(path, &name, found.ino(), level)?,
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Watches a directory, then looks at what is in it.
    fn read(&mut self, directory: &Path, level: i32) -> io::Result<()> {
        self.watch(directory, level)?;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let (path, name) = (entry.path(), entry.file_name());
                self.meet(path, &name, entry.ino(), level + 1)?;
            }
        }
        Ok(())
    }

    /// Takes note of a directory: of a pod, or one that may have pods' below it. One that is gone by
    /// now is none.
    fn meet(&mut self, path: PathBuf, name: &OsStr, inode: u64, level: i32) -> io::Result<()> {
        if let Some(uid) = name.to_str().and_then(PodUid::of_cgroup) {
            self.found.pods.insert(path, (uid, inode));
            return Ok(());
        }
        if level >= CGROUP_LEVELS {
            return Ok(());
        }
        match self.read(&path, level) {
            Err(error) if is_gone(&error) => Ok(()),
            outcome => outcome,
        }
    }

    fn watch(&mut self, directory: &Path, level: i32) -> io::Result<()> {
        let mask = WatchMask::CREATE | WatchMask::DELETE | WatchMask::ONLYDIR;
        match self.watches.add(directory, mask) {
            Ok(watch) => {
                let place = (directory.to_owned(), level);
                self.found.watched.insert(watch, place);
                Ok(())
            }
            Err(error) if is_gone(&error) => Err(error),
            Err(error) => {
                if !std::mem::replace(&mut self.is_complaining, true) {
                    tracing::warn!(
                        %error, directory = %directory.display(),
                        remedy = "raise fs.inotify.max_user_watches",
                        "not every cgroup can be watched: pods are balanced at the socket up to \
                         {} s after they start",
                        REPAIR_INTERVAL.as_secs()
                    );
                }
                Ok(())
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

#[cfg(test)]
mod tests;
