//! Programs at the sockets of a cgroup: every process in it, and in those below.
//!
//! Links are pinned. A new process replaces the program of each in one step (`BPF_LINK_UPDATE`),
//! so no call goes without a program; a link to another cgroup than the one wanted is made anew.

mod state;

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSockAddr};
use netproxy_common::SocketScope;
use tracing::{debug, info};

pub use self::state::{CgroupTree, SocketHook, SocketLink, SocketProgram};

use super::grace::wait_for_grace_period;
use super::link::Link;
use super::programs::Programs;
use super::socket_memory::SocketMemory;
use super::stale_sockets::StaleSockets;
use super::succession::Succession;
use super::{DatapathError, Pins};
use crate::causes::with_causes;
use crate::node::socket_option;
use crate::settings::Termination;

/// Which processes are balanced at the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// The cgroup v2 directory whose processes they are.
    pub cgroup: PathBuf,
    /// Which of them.
    pub scope: SocketScope,
    /// Whether pods may opt out: only those that are set as clients are balanced.
    pub has_opt_out: bool,
    /// Whether NodePorts answer processes of the host on 127.0.0.1 and `::1`.
    pub has_loopback_node_ports: bool,
    /// Which sockets somebody ends when their endpoint is gone.
    pub termination: Termination,
}

/// The programs, by the names of the kernel's hooks, which are those of their pinned links as well.
pub(super) const PROGRAMS: [&str; 8] = [
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
    "recvmsg4",
    "recvmsg6",
    "getpeername4",
    "getpeername6",
];

/// What is to be attached to sockets, with all that the kernel may refuse done.
pub(super) struct Prepared<'a> {
    options: &'a SocketOptions,
    cgroup: Cgroup,
    stale_sockets: Option<StaleSockets>,
    memory: SocketMemory,
}

impl Prepared<'_> {
    /// Gives sockets what they remember in maps of another layout; see `socket_memory.rs`.
    pub(super) fn carry(&self) -> Result<(), DatapathError> {
        self.memory.carry().map(drop)
    }
}

/// Loads what `wanted` asks for. Nothing changes yet.
pub(super) fn prepare<'a>(
    programs: &mut Programs,
    succession: &Succession,
    wanted: Option<&'a SocketOptions>,
) -> Result<Option<Prepared<'a>>, DatapathError> {
    let Some(options) = wanted else {
        return Ok(None);
    };
    let cgroup = Cgroup::open(&options.cgroup)?;
    let stale_sockets = if options.termination.is_wanted() {
        let opened = StaleSockets::open(programs, succession, options.termination)?;
        Some(opened)
    } else {
        None
    };
    for name in PROGRAMS {
        programs.socket(name)?;
    }
    Ok(Some(Prepared {
        options,
        cgroup,
        stale_sockets,
        memory: SocketMemory::prepare(programs, succession)?,
    }))
}

/// Attaches what is prepared, or lets go of all sockets. Sockets that are connected stay so; yields a way to
/// find those whose endpoint is gone, where somebody is to end them.
pub(super) fn attach(
    programs: &mut Programs,
    pins: &Pins,
    prepared: Option<Prepared<'_>>,
) -> Result<Option<StaleSockets>, DatapathError> {
    let Some(Prepared {
        options: wanted,
        cgroup,
        stale_sockets,
        memory,
    }) = prepared
    else {
        let_go(pins)?;
        return Ok(None);
    };
    fs::create_dir_all(pins.sockets()).map_err(DatapathError::file(
        pins.sockets(),
        "cannot make the directory",
    ))?;
    // Answers are recognised before anything is sent.
    for name in PROGRAMS.iter().rev() {
        let program = programs.socket(name)?;
        let pin = pins.sockets().join(name);
        hook(program, &cgroup, &pin).map_err(|reason| DatapathError::Socket {
            hook: name,
            cgroup: wanted.cgroup.clone(),
            reason,
        })?;
    }
    if memory.is_old() {
        // Old programs that run yet write to old maps; and of those sockets that were made since the first walk, the
        // memory is there.
        wait_for_grace_period()
            .map_err(DatapathError::map("SOCKETS", "waited for (membarrier)"))?;
        let sockets = memory.carry()?;
        info!(
            sockets,
            "sockets go on with what they remember in maps of another layout"
        );
    }
    info!(
        cgroup = %wanted.cgroup.display(),
        scope = ?wanted.scope,
        opt_out = wanted.has_opt_out,
        termination = ?wanted.termination,
        "balancing at the socket"
    );
    Ok(stale_sockets)
}

fn let_go(pins: &Pins) -> Result<(), DatapathError> {
    let directory = pins.sockets();
    match fs::remove_dir_all(&directory) {
        Ok(()) => {
            info!("sockets are no longer balanced; what they are connected to stays");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DatapathError::file(directory, "cannot be removed")(error)),
    }
}

/// A cgroup v2 directory.
struct Cgroup {
    directory: File,
    id: u64,
}

impl Cgroup {
    fn open(path: &Path) -> Result<Self, DatapathError> {
        let failed = |error| DatapathError::file(path, "the cgroup cannot be opened")(error);
        let directory = File::open(path).map_err(failed)?;
        let id = id_of(&directory.metadata().map_err(failed)?);
        Ok(Self { directory, id })
    }
}

/// The kernel's id of a cgroup: its directory's inode number (`cgroup_id` in
/// include/linux/cgroup.h).
fn id_of(directory: &Metadata) -> u64 {
    directory.ino()
}

/// Replaces the program of the pinned link, or makes a link and pins it.
fn hook(program: &mut CgroupSockAddr, cgroup: &Cgroup, pin: &Path) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| with_causes(error);
    if let Some(link) = Link::open(pin).map_err(|error| text(&error))? {
        if link.info().is_ok_and(|info| info.cgroup == cgroup.id) {
            let program = program.fd().map_err(|error| text(&error))?.as_fd();
            return link.replace(program).map_err(|error| text(&error));
        }
        debug!(pin = %pin.display(), "a link to another cgroup is replaced");
        fs::remove_file(pin).map_err(|error| text(&error))?;
    }
    // The kernel's links never exclude each other; other modes are for attaching without links.
    let id = program
        .attach(&cgroup.directory, CgroupAttachMode::Single)
        .map_err(|error| text(&error))?;
    let link = program.take_link(id).map_err(|error| text(&error))?;
    let link = FdLink::try_from(link).map_err(|error| text(&error))?;
    link.pin(pin).map(drop).map_err(|error| text(&error))
}

/// The cookie of this process's network namespace, by which the programs tell the host's processes.
pub(super) fn own_netns_cookie() -> Result<u64, DatapathError> {
    let failed = DatapathError::file("/proc/self/ns/net", "has no cookie (SO_NETNS_COOKIE)");
    netns_cookie().map_err(failed)
}

fn netns_cookie() -> io::Result<u64> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))
        .or_else(|_| std::net::UdpSocket::bind((std::net::Ipv6Addr::UNSPECIFIED, 0)))?;
    socket_option(socket.as_fd(), libc::SO_NETNS_COOKIE)
}
