//! Batch operations on hash maps: one system call for thousands of entries (aya has none).

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::MapData;
use bytemuck::{Pod, Zeroable};

use super::syscall::bpf;

/// `bpf(2)` commands of uapi/linux/bpf.h.
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_MAP_DELETE_BATCH: libc::c_long = 27;

/// Entries per system call.
const BATCH: usize = 4096;

/// The `batch` member of `union bpf_attr`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Writes all entries.
pub(super) fn update<K: Pod, V: Pod>(map: &MapData, entries: &[(K, V)]) -> io::Result<()> {
    for chunk in entries.chunks(BATCH) {
        let keys: Vec<K> = chunk.iter().map(|(key, _)| *key).collect();
        let values: Vec<V> = chunk.iter().map(|(_, value)| *value).collect();
        let mut attributes = Attributes {
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count: u32::try_from(chunk.len()).unwrap_or(u32::MAX),
            ..attributes(map)
        };
        call(BPF_MAP_UPDATE_BATCH, &mut attributes)?;
    }
    Ok(())
}

/// Removes all keys; those that are not there are passed over.
pub(super) fn delete<K: Pod>(map: &MapData, keys: &[K]) -> io::Result<()> {
    let mut rest = keys;
    while !rest.is_empty() {
        let chunk = &rest[..rest.len().min(BATCH)];
        let mut attributes = Attributes {
            keys: chunk.as_ptr() as u64,
            count: u32::try_from(chunk.len()).unwrap_or(u32::MAX),
            ..attributes(map)
        };
        let outcome = call(BPF_MAP_DELETE_BATCH, &mut attributes);
        // It stops at the first key that is not there, and tells how many came before.
        let done = attributes.count as usize;
        match outcome {
            Ok(()) => rest = &rest[chunk.len()..],
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                rest = &rest[(done + 1).min(rest.len())..];
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Calls `visit` with every entry. Entries that come or go meanwhile may be missed or not.
pub(super) fn for_each<K: Pod, V: Pod>(
    map: &MapData,
    mut visit: impl FnMut(&K, &V),
) -> io::Result<()> {
    let mut walk = Walk::default();
    while !walk.go_on(map, BATCH, &mut visit)? {}
    Ok(())
}

/// A walk of a map's entries, which may pause for any time after each batch.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The kernel's cursor, once there is one: for hash maps the number of a bucket, for others a key.
    cursor: Option<Vec<u64>>,
}

impl Walk {
    /// Calls `visit` with the next entries, `size` of them or, where that many share a bucket, more. Yields
    /// whether these were the last.
    pub(super) fn go_on<K: Pod, V: Pod>(
        &mut self,
        map: &MapData,
        mut size: usize,
        mut visit: impl FnMut(&K, &V),
    ) -> io::Result<bool> {
        let mut next = vec![0_u64; size_of::<K>().div_ceil(8).max(2)];
        loop {
            let mut keys = vec![K::zeroed(); size];
            let mut values = vec![V::zeroed(); size];
            let mut attributes = Attributes {
                in_batch: self.cursor.as_ref().map_or(0, |at| at.as_ptr() as u64),
                out_batch: next.as_mut_ptr() as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: u32::try_from(size).unwrap_or(u32::MAX),
                ..attributes(map)
            };
            let outcome = call(BPF_MAP_LOOKUP_BATCH, &mut attributes);
            let is_last = match &outcome {
                Ok(()) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // A bucket holds more than fits (__htab_map_lookup_and_delete_batch).
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    size *= 2;
                    continue;
                }
                Err(_) => return outcome.map(|()| false),
            };
            for (key, value) in keys.iter().zip(&values).take(attributes.count as usize) {
                visit(key, value);
            }
            self.cursor = (!is_last).then_some(next);
            return Ok(is_last);
        }
    }
}

fn attributes(map: &MapData) -> Attributes {
    Attributes {
        map_fd: u32::try_from(map.fd().as_fd().as_raw_fd()).unwrap_or(u32::MAX),
        ..Attributes::zeroed()
    }
}

fn call(command: libc::c_long, attributes: &mut Attributes) -> io::Result<()> {
    // SAFETY: the pointers in `attributes` come from live vectors of at least `count` elements of
    // the map's own key and value sizes, which the pinned shapes were checked against.
    unsafe { bpf(command, attributes) }.map(drop)
}

/// The value of one key; None: not there.
pub(super) fn look_up<K: Pod, V: Pod>(map: &MapData, key: &K) -> io::Result<Option<V>> {
    /// The element member of `union bpf_attr`.
    #[repr(C)]
    #[derive(Clone, Copy, Pod, Zeroable)]
    struct Element {
        map_fd: u64,
        key: u64,
        value: u64,
        flags: u64,
    }
    const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
    let mut value = V::zeroed();
    let mut element = Element {
        map_fd: u64::from(attributes(map).map_fd),
        key: std::ptr::from_ref(key) as u64,
        value: std::ptr::from_mut(&mut value) as u64,
        flags: 0,
    };
    // SAFETY: key and value live on the stack and have the map's own sizes, which the pinned
    // shapes were checked against.
    match unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut element) } {
        Ok(_) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
