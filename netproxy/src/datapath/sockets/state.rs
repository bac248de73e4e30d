//! Looking at what is attached to sockets, without changing anything.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use super::{PROGRAMS, id_of};
use crate::datapath::link::{self, Link};
use crate::datapath::{DatapathError, Pins};

/// A hook of sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketHook {
    /// The kernel's name of it.
    pub name: &'static str,
    /// Our link there; `None`: there is none.
    pub link: Option<SocketLink>,
}

/// A pinned link of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketLink {
    /// The kernel's id of it.
    pub id: u32,
    /// The id of its program.
    pub program: u32,
    /// The id of its cgroup; `None`: that has been removed.
    pub cgroup: Option<u64>,
    /// The kernel's number of the hook.
    pub attach_type: u32,
}

/// A program at a hook that we are at, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketProgram {
    /// The kernel's id of it.
    pub id: u32,
    /// The hook.
    pub hook: &'static str,
    /// Where it is attached; `None`: above what is mounted.
    pub cgroup: Option<PathBuf>,
}

impl SocketHook {
    /// Every hook; `None` where sockets are not balanced.
    ///
    /// # Errors
    /// When a pin cannot be opened.
    pub fn all(pins: &Pins) -> Result<Option<Vec<Self>>, DatapathError> {
        let directory = pins.sockets();
        if !directory
            .try_exists()
            .map_err(DatapathError::file(&directory, "cannot be looked into"))?
        {
            return Ok(None);
        }
        let hook = |name| {
            let pin = directory.join(name);
            let link = Link::open(&pin)
                .and_then(|link| link.map(|link| link.info()).transpose())
                .map_err(DatapathError::file(&pin, "cannot be opened"))?;
            Ok(Self {
                name,
                link: link.map(|info| SocketLink {
                    id: info.id,
                    program: info.program,
                    cgroup: (info.cgroup != 0).then_some(info.cgroup),
                    attach_type: info.attach_type,
                }),
            })
        };
        PROGRAMS
            .into_iter()
            .map(hook)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

/// The cgroups below a directory, and itself.
#[derive(Clone, Debug)]
pub struct CgroupTree {
    directories: Vec<(PathBuf, u64)>,
}

impl CgroupTree {
    /// Looks at all of them. One that vanishes meanwhile is left out.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let mut directories = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(path) = open.pop() {
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            open.extend(
                entries
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            );
            directories.push((path, id_of(&metadata)));
        }
        Self { directories }
    }

    /// The directory of the cgroup with this id.
    #[must_use]
    pub fn path(&self, id: u64) -> Option<&Path> {
        let found = self.directories.iter().find(|(_, other)| *other == id);
        found.map(|(path, _)| path.as_path())
    }

    /// The programs of others that run before or after ours, for some or all of the processes that
    /// `hook` serves. What cannot be asked is left out.
    #[must_use]
    pub fn others(&self, hook: &SocketHook) -> Vec<SocketProgram> {
        let Some(link) = hook.link else {
            return Vec::new();
        };
        let Some(own) = link.cgroup.and_then(|id| self.path(id)) else {
            return Vec::new();
        };
        let programs = |path: &Path, effective| {
            File::open(path)
                .and_then(|cgroup| link::programs(cgroup.as_fd(), link.attach_type, effective))
                .unwrap_or_default()
        };
        let mut known = BTreeSet::from([link.program]);
        let mut others = Vec::new();
        let mut add = |ids: Vec<u32>, cgroup: Option<&Path>| {
            for id in ids.into_iter().filter(|id| known.insert(*id)) {
                others.push(SocketProgram {
                    id,
                    hook: hook.name,
                    cgroup: cgroup.map(Path::to_owned),
                });
            }
        };
        for (path, _) in self
            .directories
            .iter()
            .filter(|(path, _)| path.starts_with(own) || own.starts_with(path))
        {
            add(programs(path, false), Some(path));
        }
        add(programs(own, true), None);
        others
    }
}
