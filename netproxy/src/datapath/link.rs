//! A pinned link between a program and a cgroup or device, by the commands that aya has no words for.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{fs, io};

use bytemuck::{Pod, Zeroable};
use tracing::debug;

use super::syscall::{bpf, number};

/// Commands of `bpf(2)` (uapi/linux/bpf.h).
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_DETACH: libc::c_long = 34;

/// For `BPF_PROG_QUERY`: what runs for processes in a cgroup, and not only what is attached to it.
const BPF_F_QUERY_EFFECTIVE: u32 = 1;
/// The kernel attaches no more to a cgroup and hook (`BPF_CGROUP_MAX_PROGS` in kernel/bpf/cgroup.c).
const MOST_PROGRAMS: usize = 64;

/// An open link.
pub(super) struct Link(OwnedFd);

/// The beginning of `struct bpf_link_info`, of a cgroup link.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct LinkInfo {
    kind: u32,
    pub(super) id: u32,
    pub(super) program: u32,
    pad: u32,
    /// The id of the cgroup; zero: it has been removed.
    pub(super) cgroup: u64,
    /// The kernel's number of the hook.
    pub(super) attach_type: u32,
    more: [u32; 9],
}

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

/// For `BPF_LINK_DETACH`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Detach {
    link_fd: u32,
}

/// For `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Ask {
    fd: u32,
    length: u32,
    info: u64,
}

/// For `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Query {
    cgroup_fd: u32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    pad: u32,
}

impl Link {
    /// The one pinned there, if there is one.
    pub(super) fn open(pin: &Path) -> io::Result<Option<Self>> {
        Ok(open_pin(pin)?.map(Self))
    }

    /// What it links.
    pub(super) fn info(&self) -> io::Result<LinkInfo> {
        let mut info = LinkInfo::zeroed();
        let mut ask = Ask {
            fd: number(self.0.as_fd()),
            length: u32::try_from(size_of::<LinkInfo>()).unwrap_or(0),
            info: (&raw mut info) as u64,
        };
        // SAFETY: the kernel writes no more than the length given of `info`, which outlives the call.
        unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut ask) }?;
        Ok(info)
    }

    /// Puts another program in place of its own, in one step.
    pub(super) fn replace(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut update = Update {
            link_fd: number(self.0.as_fd()),
            new_program_fd: number(program),
            ..Update::zeroed()
        };
        // SAFETY: no pointers.
        unsafe { bpf(BPF_LINK_UPDATE, &mut update) }.map(drop)
    }

    /// Takes its program away at once. With the last reference alone, that waits for a worker of the kernel
    /// (`bpf_link_put`).
    pub(super) fn detach(&self) -> io::Result<()> {
        let mut detach = Detach {
            link_fd: number(self.0.as_fd()),
        };
        // SAFETY: no pointers.
        unsafe { bpf(BPF_LINK_DETACH, &mut detach) }.map(drop)
    }
}

/// Puts a program in the place of the one of a pinned link, in one step; false: there is no link. One whose device is gone,
/// and left its number to another, is removed.
pub(super) fn replace_pinned(pin: &Path, program: BorrowedFd<'_>) -> io::Result<bool> {
    let Some(link) = Link::open(pin)? else {
        return Ok(false);
    };
    match link.replace(program) {
        Ok(()) => Ok(true),
        Err(error) => {
            debug!(pin = %pin.display(), %error, "a stale link is replaced");
            fs::remove_file(pin)?;
            Ok(false)
        }
    }
}

/// What is pinned there, if there is something.
pub(super) fn open_pin(pin: &Path) -> io::Result<Option<OwnedFd>> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
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

/// The ids of the programs that are attached to a cgroup at a hook, or, of the `effective` ones, that
/// run for its processes: those of the cgroups above, too.
pub(super) fn programs(
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
    effective: bool,
) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; 2 * MOST_PROGRAMS];
    let mut query = Query {
        cgroup_fd: number(cgroup),
        attach_type,
        flags: if effective { BPF_F_QUERY_EFFECTIVE } else { 0 },
        programs: (&raw mut ids) as u64,
        count: u32::try_from(ids.len()).unwrap_or(0),
        ..Query::zeroed()
    };
    // SAFETY: the kernel writes no more than `count` ids, which outlive the call.
    unsafe { bpf(BPF_PROG_QUERY, &mut query) }?;
    let count = usize::try_from(query.count).unwrap_or(0);
    Ok(ids.iter().take(count).copied().collect())
}
