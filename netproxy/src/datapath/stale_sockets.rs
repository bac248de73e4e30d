//! Sockets that are connected to an endpoint that no longer serves, found by the kernel's iterator over
//! what sockets remember (`bpf_iter__bpf_sk_storage_map`), in every network namespace at once.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::Arc;

use aya::Btf;
use aya::maps::MapData;
use bytemuck::{Pod, Zeroable};
use netproxy_common::{Pair, StaleSocket};

use super::DatapathError;
use super::programs::Programs;
use super::succession::Succession;
use super::syscall::{bpf, number};
use crate::causes::with_causes;
use crate::settings::Termination;

/// The program, and the map that it walks.
const PROGRAM: &str = "stale_sockets";
const MAP: &str = "SOCKETS";

/// Commands of `bpf(2)` that aya has no words for at iterators over a map (uapi/linux/bpf.h).
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_TRACE_ITER: u32 = 28;

/// For `BPF_LINK_CREATE`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Create {
    program_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    target: u64,
    target_bytes: u32,
    pad: u32,
}

/// For `BPF_ITER_CREATE`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Walk {
    link_fd: u32,
    flags: u32,
}

/// A way to find them; cheap to clone.
#[derive(Clone, Debug)]
pub struct StaleSockets {
    link: Arc<OwnedFd>,
    termination: Termination,
}

impl StaleSockets {
    /// Of those kinds that the programs were loaded for.
    pub(super) fn open(
        programs: &mut Programs,
        succession: &Succession,
        termination: Termination,
    ) -> Result<Self, DatapathError> {
        let failed = |reason: String| DatapathError::Load {
            what: "iterator",
            name: PROGRAM.to_owned(),
            reason,
            remedy: "; without it, go with --terminate-udp=false",
        };
        let btf = Btf::from_sys_fs().map_err(|error| failed(with_causes(&error)))?;
        let program = programs.iterator(PROGRAM, "bpf_sk_storage_map", &btf)?;
        let map =
            MapData::from_pin(succession.pin(MAP)).map_err(|error| failed(with_causes(&error)))?;
        let program = program.fd().map_err(|error| failed(with_causes(&error)))?;
        let link =
            link(program.as_fd(), map.fd().as_fd()).map_err(|error| failed(with_causes(&error)))?;
        Ok(Self {
            link: Arc::new(link),
            termination,
        })
    }

    /// Of which kinds they are.
    #[must_use]
    pub const fn termination(&self) -> Termination {
        self.termination
    }

    /// Those there are at this moment. It visits every socket that was ever translated and is open:
    /// about two milliseconds per ten thousand.
    pub fn find(&self) -> Result<Vec<StaleSocket>, DatapathError> {
        let mut bytes = Vec::new();
        walk(self.link.as_fd())
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(DatapathError::map(MAP, "walked"))?;
        Ok(bytes
            .chunks_exact(size_of::<StaleSocket>())
            .map(bytemuck::pod_read_unaligned)
            .collect())
    }
}

/// A link by which `program` walks this map.
pub(super) fn link(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // `union bpf_iter_link_info`, of which only the map is set.
    let mut target = [number(map), 0, 0, 0];
    let mut create = Create {
        program_fd: number(program),
        attach_type: BPF_TRACE_ITER,
        target: (&raw mut target) as u64,
        target_bytes: 4 * 4,
        ..Create::zeroed()
    };
    // SAFETY: the target is as long as it says, and outlives the call.
    let link = unsafe { bpf(BPF_LINK_CREATE, &mut create) }?;
    // SAFETY: the kernel has just handed the descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

/// A walk, which goes as it is read.
pub(super) fn walk(link: BorrowedFd<'_>) -> io::Result<File> {
    let mut walk = Walk {
        link_fd: number(link),
        ..Walk::zeroed()
    };
    // SAFETY: no pointers.
    let file = unsafe { bpf(BPF_ITER_CREATE, &mut walk) }?;
    // SAFETY: the kernel has just handed the descriptor to us.
    Ok(unsafe { File::from_raw_fd(file) })
}

/// The endpoint of a pair as user space names it: IPv4 as such, not mapped.
#[must_use]
pub fn endpoint_of(pair: &Pair) -> SocketAddr {
    let address = Ipv6Addr::from(pair.endpoint.octets).to_canonical();
    SocketAddr::new(address, pair.endpoint_port.get())
}
