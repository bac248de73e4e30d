//! Stale sockets: those connected to an endpoint that no longer serves, told one by one to whom may
//! end them.

use core::ffi::c_void;

use aya_ebpf::bindings::seq_file;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_seq_write};
use netproxy_common::protocol::{TCP, UDP};
use netproxy_common::{Connection, StaleSocket};

use super::socket::{address, chosen, key, still_serves};
use crate::socket::{Mapped4, Naming, Plain6, is_mapped, is_none};
use crate::{config, service, usable};

/// `struct bpf_iter__bpf_sk_storage_map` of net/core/bpf_sk_storage.c: a socket and what it has in the
/// map that is walked.
#[repr(C)]
pub(crate) struct Visit<T> {
    meta: *const Meta,
    map: *const c_void,
    socket: *mut c_void,
    value: *const T,
}

impl<T> Visit<T> {
    /// Where records go, the socket, and its value. The last visit of a walk is to none.
    #[inline(always)]
    pub(super) fn read(context: *const Self) -> Option<(*mut seq_file, *mut c_void, *const T)> {
        // SAFETY: the kernel keeps the context, and what it points to, for the program's run.
        let (meta, socket, value) = unsafe {
            let visit = &*context;
            (visit.meta, visit.socket, visit.value)
        };
        if socket.is_null() || value.is_null() {
            return None;
        }
        // SAFETY: as above.
        Some((unsafe { (*meta).to }, socket, value))
    }
}

/// The beginning of `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
struct Meta {
    to: *mut seq_file,
}

/// Tells of the socket if it is stale.
#[inline(always)]
pub(crate) fn visit(context: *const Visit<Connection>) {
    let Some((to, socket, value)) = Visit::read(context) else {
        return;
    };
    // SAFETY: as above. A copy may be torn by a socket that connects anew just now: then it is told of
    // in vain, as its cookie and its endpoint no longer go together.
    let mut connection = unsafe { value.read() };
    let pair = &connection.pair;
    if is_none(pair) || !usable::has_changed(pair.service, pair.generation) {
        return;
    }
    let service = if is_mapped(&pair.endpoint) {
        left_by_endpoint::<Mapped4>(&connection)
    } else {
        left_by_endpoint::<Plain6>(&connection)
    };
    if service == NONE {
        return;
    }
    connection.pair.service = service;
    let stale = StaleSocket {
        connection,
        // SAFETY: a socket, as the helper asks for.
        cookie: unsafe { bpf_get_socket_cookie(socket) },
    };
    // SAFETY: the record is whole and without padding. A full buffer is emptied by the reader, and the
    // socket visited again (bpf_seq_read in kernel/bpf/bpf_iter.c).
    unsafe {
        bpf_seq_write(
            to,
            (&raw const stale).cast(),
            size_of::<StaleSocket>() as u32,
        )
    };
}

/// No service.
const NONE: u32 = u32::MAX;

/// The service that the connection's endpoint no longer serves.
#[inline(never)]
fn left_by_endpoint<N: Naming>(connection: &Connection) -> u32 {
    let pair = &connection.pair;
    let mut chosen = chosen::<N>(pair);
    let is_served = match connection.protocol {
        UDP if config::terminates_udp() => {
            still_serves::<N>(pair, connection.protocol, &mut chosen)
        }
        // The connection outlives its frontend; whether the endpoint is gone, or merely draining, is
        // known to the agent.
        TCP if config::terminates_tcp() => {
            let key = key::<N>(pair, connection.protocol);
            let address = address::<N>(&key.destination);
            match service::frontend::<N::Family>(&key, address) {
                Some(frontend) => {
                    chosen.service = frontend.service;
                    usable::still_serves::<N::Family>(&mut chosen)
                }
                None => true,
            }
        }
        _ => true,
    };
    if is_served { NONE } else { chosen.service }
}
