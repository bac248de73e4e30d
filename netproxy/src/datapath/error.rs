//! What can go wrong, each with its object, its reason, and what to do.

use std::io;
use std::path::PathBuf;

use aya::maps::MapData;
use thiserror::Error;

/// An error of the datapath.
#[derive(Debug, Error)]
pub enum DatapathError {
    /// The pin directory is not on a BPF file system.
    #[error(
        "{path} is not on a BPF file system: nothing can be pinned there; mount one with \
         `mount -t bpf bpf {path}`, or name another with --bpffs"
    )]
    NotBpffs {
        /// The directory given.
        path: PathBuf,
    },
    /// A directory or file could not be handled.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried.
        reason: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A pinned map is not what this release expects.
    #[error(
        "the pinned map {path} has {found}, but its record says {expected}: something else made \
         it; run `netproxy cleanup` (service traffic stops until the agent runs again) and start \
         anew"
    )]
    Layout {
        /// The pin.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// A pinned map is that of an agent of another build.
    #[error(
        "the pinned map {path} is laid out otherwise than this netproxy expects: the agent is of \
         another version; ask with the agent's own binary"
    )]
    OtherBuild {
        /// The pin.
        path: PathBuf,
    },
    /// A map of another size cannot take over what is in the one in force.
    #[error(
        "the map {map} holds {used} entries, too many to be made anew with {entries}: ask for more \
         ({option}), or wait until there are less; what was in force stays so",
        option = if map.starts_with("FLOWS") {
            "--flows-max".to_owned()
        } else {
            format!("--map-size {map}=N")
        }
    )]
    TooSmall {
        /// The map.
        map: &'static str,
        /// The size asked for.
        entries: u32,
        /// How many there are.
        used: usize,
    },
    /// The programs or maps could not be loaded.
    #[error("the kernel refuses the {what} {name}: {reason}{remedy}")]
    Load {
        /// Program or map.
        what: &'static str,
        /// Its name.
        name: String,
        /// The kernel's answer, with the verifier's log where there is one.
        reason: String,
        /// What may help.
        remedy: &'static str,
    },
    /// A map is full.
    #[error(
        "the map {map} is full ({entries} entries): {object} is not served; make it larger with \
         --map-size {map}=N"
    )]
    Full {
        /// The map.
        map: &'static str,
        /// Its size.
        entries: usize,
        /// What did not fit.
        object: String,
    },
    /// A program could not be attached to a cgroup.
    #[error(
        "the program {hook} cannot be attached to the cgroup {cgroup}: {reason}; name the root of \
         the cgroup v2 hierarchy with --cgroup, or go without with --socket-balancing off"
    )]
    Socket {
        /// Which.
        hook: &'static str,
        /// Where.
        cgroup: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A map could not be read or written.
    #[error("the map {map} cannot be {action}")]
    Map {
        /// The map.
        map: &'static str,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// There is no datapath to look at.
    #[error(
        "no datapath is pinned at {path}: the agent has not run here, or --bpffs names another place"
    )]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another process writes the datapath.
    #[error(
        "the datapath at {path} is in use by a netproxy agent, or another cleanup: stop that first, \
         or it would write back what is removed"
    )]
    InUse {
        /// Where it is pinned.
        path: PathBuf,
    },
    /// Another process reads events.
    #[error(
        "process {process} already listens to what happens at {path}, and one can at a time: end that \
         `netproxy monitor` first; what is left of one that was killed is forgotten by itself"
    )]
    HasListener {
        /// Where the maps are pinned.
        path: PathBuf,
        /// The other one, by its number in its own pid namespace.
        process: u32,
    },
    /// The programs in force tell of nothing.
    #[error(
        "the datapath at {path} is that of an older release, which tells nobody what happens: \
         restart the agent"
    )]
    NoEvents {
        /// Where the maps are pinned.
        path: PathBuf,
    },
    /// No program is pinned by which packets could be traced.
    #[error(
        "no program is pinned at {path}: the agent that made this datapath attached none, or is of an older \
         release; start the agent (again), and see in its log and in `netproxy check` to which devices"
    )]
    NoProgram {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A pinned program cannot be run.
    #[error(
        "the program {path} cannot be run; that takes root with CAP_BPF, which the agent's container has: \
         `kubectl exec` into it, or run this on the node"
    )]
    NotRun {
        /// Its pin.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A device could not be attached.
    #[error("device {device}: the {direction} hook cannot be attached: {reason}")]
    Attach {
        /// Its name.
        device: String,
        /// Ingress or egress.
        direction: &'static str,
        /// Why not.
        reason: String,
    },
}

impl DatapathError {
    pub(super) fn map(map: &'static str, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Map {
            map,
            action,
            source,
        }
    }

    /// For writing a hash map: full, or whatever else the kernel says.
    pub(super) fn refused(
        name: &'static str,
        map: &MapData,
        object: impl FnOnce() -> String,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.raw_os_error() {
            // A hash map says the one, a trie the other.
            Some(libc::E2BIG | libc::ENOSPC) => Self::Full {
                map: name,
                entries: map.info().map_or(0, |info| info.max_entries() as usize),
                object: object(),
            },
            _ => Self::map(name, "written")(source),
        }
    }

    pub(super) fn file(
        path: impl Into<PathBuf>,
        reason: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            path,
            reason,
            source,
        }
    }
}
