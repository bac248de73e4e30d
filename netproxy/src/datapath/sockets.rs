//! Programs at the sockets of a cgroup: every process in it, and in those below.
//!
//! Links are pinned. A new process replaces the program of each in one step (`BPF_LINK_UPDATE`),
//! so no call goes without a program; a link to another cgroup than the one wanted is made anew.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSockAddr};
use bytemuck::{Pod, Zeroable};
use netproxy_common::SocketScope;
use tracing::{debug, info};

use super::error::describe;
use super::load::Programs;
use super::syscall::bpf;
use super::{DatapathError, Pins};

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
}

/// The programs, by the names of the kernel's hooks.
const PROGRAMS: [&str; 8] = [
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
    "recvmsg4",
    "recvmsg6",
    "getpeername4",
    "getpeername6",
];

/// Attaches to `wanted`, or lets go of all sockets. Sockets that are connected stay so.
pub(super) fn attach(
    programs: &mut Programs,
    pins: &Pins,
    wanted: Option<&SocketOptions>,
) -> Result<(), DatapathError> {
    let Some(wanted) = wanted else {
        return let_go(pins);
    };
    let cgroup = Cgroup::open(&wanted.cgroup)?;
    fs::create_dir_all(pins.sockets()).map_err(DatapathError::file(
        pins.sockets(),
        "cannot make the directory",
    ))?;
    // What the verifier refuses is to be known before anything changes.
    for name in PROGRAMS {
        programs.socket(name)?;
    }
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
    info!(
        cgroup = %wanted.cgroup.display(),
        scope = ?wanted.scope,
        opt_out = wanted.has_opt_out,
        "balancing at the socket"
    );
    Ok(())
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
    /// The kernel's id, which is the directory's inode number (`cgroup_id` in kernel/cgroup/cgroup.c).
    id: u64,
}

impl Cgroup {
    fn open(path: &Path) -> Result<Self, DatapathError> {
        let failed = |error| DatapathError::file(path, "the cgroup cannot be opened")(error);
        let directory = File::open(path).map_err(failed)?;
        let id = directory.metadata().map_err(failed)?.ino();
        Ok(Self { directory, id })
    }
}

/// Replaces the program of the pinned link, or makes a link and pins it.
fn hook(program: &mut CgroupSockAddr, cgroup: &Cgroup, pin: &Path) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| describe(error);
    if let Some(link) = open_pin(pin).map_err(|error| text(&error))? {
        if cgroup_of(link.as_fd()).is_ok_and(|id| id == cgroup.id) {
            let program = program.fd().map_err(|error| text(&error))?.as_fd();
            return replace(link.as_fd(), program).map_err(|error| text(&error));
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

/// Commands of `bpf(2)` that aya has no words for at cgroup links (uapi/linux/bpf.h).
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_UPDATE: libc::c_long = 29;

/// For `BPF_OBJ_GET`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Path64 {
    path: u64,
    fd: u32,
    flags: u32,
}

/// For `BPF_LINK_UPDATE`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Update {
    link_fd: u32,
    new_program_fd: u32,
    flags: u32,
    old_program_fd: u32,
}

/// For `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Ask {
    fd: u32,
    length: u32,
    info: u64,
}

/// The beginning of `struct bpf_link_info`, of a cgroup link.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
    cgroup: u64,
    attach_type: u32,
    more: [u32; 9],
}

fn open_pin(pin: &Path) -> io::Result<Option<OwnedFd>> {
    let path = std::ffi::CString::new(pin.as_os_str().as_bytes())?;
    let mut ask = Path64 {
        path: path.as_ptr() as u64,
        ..Path64::zeroed()
    };
    // SAFETY: the path outlives the call.
    match unsafe { bpf(BPF_OBJ_GET, &mut ask) } {
        // SAFETY: the kernel has just handed the descriptor to us.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn cgroup_of(link: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = LinkInfo::zeroed();
    let mut ask = Ask {
        fd: number(link),
        length: u32::try_from(size_of::<LinkInfo>()).unwrap_or(0),
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel writes no more than the length given of `info`, which outlives the call.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut ask) }?;
    Ok(info.cgroup)
}

fn replace(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut update = Update {
        link_fd: number(link),
        new_program_fd: number(program),
        ..Update::zeroed()
    };
    // SAFETY: no pointers.
    unsafe { bpf(BPF_LINK_UPDATE, &mut update) }.map(drop)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// The cookie of this process's network namespace, by which the programs tell the host's processes.
pub(super) fn own_netns_cookie() -> Result<u64, DatapathError> {
    let failed = DatapathError::file("/proc/self/ns/net", "has no cookie (SO_NETNS_COOKIE)");
    netns_cookie().map_err(failed)
}

fn netns_cookie() -> io::Result<u64> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))
        .or_else(|_| std::net::UdpSocket::bind((std::net::Ipv6Addr::UNSPECIFIED, 0)))?;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the cookie is as long as `length` says.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}
