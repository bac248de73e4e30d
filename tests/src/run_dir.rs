//! `/run/netproxy-lab/<id>`: one lab's logs, bpffs mounts and record (`lab.json`).
//!
//! The record names what has to be removed and is written before the thing is made, so whoever
//! removes a lab finds everything. A lab is alive while its owner holds the lock on `lock`, which the
//! kernel drops however the owner ends; a dead lab that was not kept is swept by the next to start.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    process,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{Addresses, cgroup, namespace, teardown};

/// Where every lab has its directory.
pub(crate) const ROOT: &str = "/run/netproxy-lab";

/// What is known of a lab from outside the process that made it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The lab's name, with a number behind it unless it was made as the only one.
    pub id: String,
    /// The process that made it.
    pub owner: u32,
    /// Whether it stays when its owner ends.
    pub kept: bool,
    /// Its directory in the cgroup v2 tree.
    pub cgroup: PathBuf,
    /// Its places.
    pub places: Vec<PlaceRecord>,
}

/// One place of a lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlaceRecord {
    /// `fabric`, `node`, `pod` or `client`.
    pub kind: String,
    /// Its name in the lab.
    pub name: String,
    /// The name of its network namespace, for `ip netns` and `nsenter`.
    pub namespace: String,
    /// Its addresses.
    pub addresses: Addresses,
}

/// The directory of a lab whose owner is this process.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    record: Mutex<Record>,
    /// Held, not read.
    _lock: File,
}

impl RunDir {
    /// Sweeps dead labs, then takes a free id: `name` itself if `is_only`, else `name` and a number.
    pub(crate) fn create(name: &str, is_only: bool) -> Result<Self> {
        let root = Path::new(ROOT);
        fs::create_dir_all(root)
            .with_context(|| format!("{ROOT} cannot be made: the lab needs root (sudo)"))?;
        let all = lock_file(&root.join("lock"))?;
        all.lock().with_context(|| format!("lock {ROOT}/lock"))?;
        sweep();

        let id = if is_only {
            if root.join(name).exists() {
                bail!("the lab {name} exists: remove it first (netproxy-lab remove {name})");
            }
            name.to_owned()
        } else {
            (1..=u32::MAX)
                .map(|number| format!("{name}.{number}"))
                .find(|id| !root.join(id).exists())
                .context("every number is taken")?
        };
        let path = root.join(&id);
        fs::create_dir_all(path.join("logs"))
            .with_context(|| format!("{} cannot be made", path.display()))?;
        let lock = lock_file(&path.join("lock"))?;
        lock.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        let record = Record {
            cgroup: cgroup::mount_point()?.join("netproxy-lab").join(&id),
            id,
            owner: process::id(),
            kept: false,
            places: Vec::new(),
        };
        write(&path, &record)?;
        Ok(Self {
            path,
            record: Mutex::new(record),
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn id(&self) -> String {
        self.record().id.clone()
    }

    pub(crate) fn cgroup(&self) -> PathBuf {
        self.record().cgroup.clone()
    }

    pub(crate) fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a place that is about to be made, and answers with its namespace's name.
    pub(crate) fn add(&self, kind: &str, name: &str, addresses: Addresses) -> Result<String> {
        let mut record = self.record();
        let namespace = format!("np-{}-{name}", record.id);
        // Were it recorded, our end would be the end of someone else's namespace.
        if Path::new(namespace::DIRECTORY).join(&namespace).exists() {
            bail!("the network namespace {namespace} exists: choose another name");
        }
        record.places.push(PlaceRecord {
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: namespace.clone(),
            addresses,
        });
        write(&self.path, &record)?;
        Ok(namespace)
    }

    /// From now on the lab outlives its owner.
    pub(crate) fn keep(&self) -> Result<()> {
        let mut record = self.record();
        record.kept = true;
        write(&self.path, &record)
    }
}

/// The records of all labs there are.
///
/// # Errors
/// When the directory cannot be read.
pub fn list() -> Result<Vec<Record>> {
    let entries = match fs::read_dir(ROOT) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("read {ROOT}"))?,
    };
    let mut records: Vec<Record> = entries
        .flatten()
        .filter_map(|entry| read(&entry.path()).ok().flatten())
        .collect();
    records.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(records)
}

/// The record in `directory`; `None` when there is none (any more).
pub(crate) fn read(directory: &Path) -> Result<Option<Record>> {
    let path = directory.join("lab.json");
    match fs::read(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{} is no record of a lab", path.display())),
    }
}

/// Whether the process that made the lab still runs.
pub(crate) fn has_owner(directory: &Path) -> bool {
    let Ok(lock) = File::open(directory.join("lock")) else {
        return false;
    };
    matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
}

/// Written whole or not at all: the reader may come at any time.
fn write(directory: &Path, record: &Record) -> Result<()> {
    let path = directory.join("lab.json");
    let fresh = directory.join("lab.json.new");
    fs::write(&fresh, serde_json::to_vec_pretty(record)?)
        .and_then(|()| fs::rename(&fresh, &path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn lock_file(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("{} cannot be made", path.display()))
}

/// Removes the labs whose owner is dead. What resists is reported and left for the next.
fn sweep() {
    let Ok(entries) = fs::read_dir(ROOT) else {
        return;
    };
    for directory in entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
    {
        let is_kept = matches!(read(&directory), Ok(Some(Record { kept: true, .. })));
        if is_kept || has_owner(&directory) {
            continue;
        }
        if let Err(error) = teardown::remove(&directory) {
            eprintln!(
                "the dead lab {} stays for now: {error:#}",
                directory.display()
            );
        }
    }
}
