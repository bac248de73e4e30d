//! Which of the mounted cgroups has all processes of the node below it.
//!
//! A mount that was made in a private cgroup namespace shows that namespace's part of the hierarchy as
//! if it were the whole. The node's first process tells what the whole is: it is below the right
//! cgroup, and mounted that itself, also where the node is a container (kind). In a container with
//! a pid namespace of its own, that process cannot be seen.

use std::cmp::Reverse;
use std::fmt;
use std::path::{Path, PathBuf};

use procfs_core::process::MountInfo;

use super::seat::Seat;

/// Where distributions mount it; the hybrid layout's place comes second.
const USUAL: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// What the kernel tells of cgroups: paths are relative to the reader's cgroup namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// Our mounts.
    pub(super) mounts: Vec<MountInfo>,
    /// Whether our cgroup namespace is not the machine's first one.
    pub(super) is_private: bool,
    /// Our cgroup.
    pub(super) own: Option<Seat>,
    /// That of process 1.
    pub(super) first: Option<Seat>,
    /// The mounts of process 1.
    pub(super) first_mounts: Vec<MountInfo>,
}

/// The cgroup whose processes are served at the socket, and why it is that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupRoot {
    /// Where it is mounted.
    pub path: PathBuf,
    /// What speaks for it, or against it if that is all there is.
    pub reason: Reason,
}

/// What is known of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The node's first process is below it, and knows nothing higher.
    FirstProcess,
    /// It is above the cgroup namespace of the container.
    HandedIn,
    /// It is the whole hierarchy of a namespace that is more than a container's.
    Whole,
    /// It is the container's own: nobody else is below it.
    OwnContainer,
    /// It is some part of the node: its first process is elsewhere, or knows more.
    Part {
        /// Where the process is.
        first: String,
    },
    /// The node's first process knows less of the hierarchy: others of the machine are below it.
    BeyondNode,
}

impl Reason {
    /// Whether every process of the node, and nobody else, is served.
    #[must_use]
    pub fn is_right(&self) -> bool {
        matches!(self, Self::FirstProcess | Self::HandedIn | Self::Whole)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstProcess => f.write_str("the node's first process is below it"),
            Self::HandedIn => f.write_str("it comes from outside of this container"),
            Self::Whole => f.write_str("it is the root of the hierarchy"),
            Self::OwnContainer => f.write_str(
                "it belongs to the agent's own container: no other process is served at the socket",
            ),
            Self::Part { first } => write!(
                f,
                "it is only a part of the node, whose first process is in {first}: processes \
                 elsewhere are not served at the socket"
            ),
            Self::BeyondNode => f.write_str(
                "it is more than the node: its first process sees a part of it, and processes of \
                 others are served as if they were this node's",
            ),
        }
    }
}

/// The best of the mounts; `None`: there is no cgroup v2 hierarchy.
pub(super) fn decide(evidence: &Evidence) -> Option<CgroupRoot> {
    let first = evidence.first_of_node();
    let nodes = evidence.root_of_node();
    let holds = |seat: &Seat, process: Option<&Seat>| process.is_none_or(|it| seat.holds(it));
    let (mount, seat) = visible(&evidence.mounts)
        .map(|mount| (mount, Seat::parse(&mount.root)))
        .min_by_key(|(mount, seat)| {
            (
                nodes.as_ref().is_some_and(|nodes| nodes != seat),
                !holds(seat, first),
                !holds(seat, evidence.own.as_ref()),
                Reverse(seat.up),
                seat.down.len(),
                rank(mount),
            )
        })?;
    Some(CgroupRoot {
        path: mount.mount_point.clone(),
        reason: judge(&seat, first, nodes.as_ref()),
    })
}

fn judge(root: &Seat, first: Option<&Seat>, nodes: Option<&Seat>) -> Reason {
    if let Some(first) = first {
        let is_part = nodes.is_some_and(|nodes| !root.holds(nodes));
        return if is_part || !root.holds(first) {
            Reason::Part {
                first: first.to_string(),
            }
        } else if nodes.is_some_and(|nodes| nodes != root) {
            Reason::BeyondNode
        } else {
            Reason::FirstProcess
        };
    }
    match nodes {
        Some(nodes) if root == nodes => Reason::Whole,
        Some(nodes) if root.holds(nodes) => Reason::BeyondNode,
        None if root.up > 0 && root.down.is_empty() => Reason::HandedIn,
        _ => Reason::OwnContainer,
    }
}

impl Evidence {
    /// The cgroup of process 1, unless that may be but the first of our own container.
    fn first_of_node(&self) -> Option<&Seat> {
        self.first
            .as_ref()
            .filter(|&first| self.own.as_ref() != Some(first))
    }

    /// The cgroup that has all of the node below it, if that can be told.
    fn root_of_node(&self) -> Option<Seat> {
        if self.first_of_node().is_some() {
            return usual(&self.first_mounts).map(|mount| Seat::parse(&mount.root));
        }
        // A runtime makes a container's namespace where its first process is. One whose root is
        // elsewhere was made for more.
        let is_containers = self.is_private && self.own.as_ref().is_none_or(Seat::is_root);
        (!is_containers).then(|| Seat::parse("/"))
    }
}

/// The cgroup2 mounts that are not hidden below another one.
fn visible(mounts: &[MountInfo]) -> impl Iterator<Item = &MountInfo> {
    let is_hidden = |mount: &MountInfo| {
        mounts
            .iter()
            .any(|over| over.pid == mount.mnt_id && over.mount_point == mount.mount_point)
    };
    mounts
        .iter()
        .filter(move |mount| mount.fs_type == "cgroup2" && !is_hidden(mount))
}

fn usual(mounts: &[MountInfo]) -> Option<&MountInfo> {
    visible(mounts).min_by_key(|mount| rank(mount))
}

fn rank(mount: &MountInfo) -> usize {
    USUAL
        .iter()
        .position(|usual| mount.mount_point == Path::new(usual))
        .unwrap_or(USUAL.len())
}
