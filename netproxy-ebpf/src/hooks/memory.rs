//! What sockets remember, carried from a map of another layout into that of these programs.
//!
//! Nobody but a program can write another socket's storage. So one walk over the old map tells of every socket and of the
//! bytes that it has there; user space makes of them what these programs understand, by the sockets' cookies; and a
//! second walk gives it to the sockets.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_SK_STORAGE_GET_F_CREATE;
use aya_ebpf::btf_maps::{HashMap, SkStorage};
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_seq_write, bpf_sk_storage_get};

use super::stale::Visit;

/// Tells of a socket: its cookie, and so many bytes that it has in the map that is walked.
#[inline(always)]
pub(crate) fn tell<T>(context: *const Visit<T>, bytes: u32) {
    let Some((to, socket, value)) = Visit::read(context) else {
        return;
    };
    // SAFETY: a socket, as the helper asks for.
    let cookie = unsafe { bpf_get_socket_cookie(socket) };
    // SAFETY: the kernel lets the program read as many bytes as the map that it is linked to has in a value
    // (bpf_iter_attach_map in net/core/bpf_sk_storage.c). A full buffer is emptied by the reader, and the socket visited
    // again.
    unsafe {
        bpf_seq_write(to, (&raw const cookie).cast(), size_of::<u64>() as u32);
        bpf_seq_write(to, value.cast(), bytes);
    }
}

/// Gives a socket what `told` has for it, unless it remembers something in `into` by now.
#[inline(always)]
pub(crate) fn give<T, const ENTRIES: usize, const FLAGS: usize>(
    context: *const Visit<T>,
    told: &'static HashMap<u64, T, ENTRIES, FLAGS>,
    into: &'static SkStorage<T>,
) {
    let Some((_, socket, _)) = Visit::read(context) else {
        return;
    };
    // SAFETY: a socket, as the helper asks for.
    let cookie = unsafe { bpf_get_socket_cookie(socket) };
    let Some(value) = told.get_ptr_mut(&cookie) else {
        return;
    };
    // SAFETY: a map, a socket, and a value of the map's type.
    unsafe {
        bpf_sk_storage_get(
            (&raw const *into).cast_mut().cast::<c_void>(),
            socket,
            value.cast(),
            u64::from(BPF_SK_STORAGE_GET_F_CREATE),
        )
    };
}
