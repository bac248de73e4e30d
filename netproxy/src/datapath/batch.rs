//! Batch operations on hash maps: one system call for thousands of entries (aya has none).

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::MapData;
use bytemuck::{Pod, Zeroable, cast_slice};

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
        put(map, cast_slice(&keys), cast_slice(&values), chunk.len())?;
    }
    Ok(())
}

/// Writes so many entries, as bytes of the map's own sizes.
pub(super) fn update_bytes(
    map: &MapData,
    keys: &[u8],
    values: &[u8],
    count: usize,
) -> io::Result<()> {
    let Some((key, value)) = keys
        .len()
        .checked_div(count)
        .zip(values.len().checked_div(count))
    else {
        return Ok(());
    };
    let chunks = keys.chunks(key * BATCH).zip(values.chunks(value * BATCH));
    for (keys, values) in chunks {
        put(map, keys, values, keys.len() / key)?;
    }
    Ok(())
}

fn put(map: &MapData, keys: &[u8], values: &[u8], count: usize) -> io::Result<()> {
    let mut attributes = Attributes {
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        ..attributes(map)
    };
    call(BPF_MAP_UPDATE_BATCH, &mut attributes)
}

/// Removes all keys; those that are not there are passed over.
pub(super) fn delete<K: Pod>(map: &MapData, keys: &[K]) -> io::Result<()> {
    delete_bytes(map, cast_slice(keys), size_of::<K>())
}

/// As [`delete`], of keys as bytes of the map's own size.
pub(super) fn delete_bytes(map: &MapData, keys: &[u8], key_bytes: usize) -> io::Result<()> {
    let mut rest = keys;
    while !rest.is_empty() {
        let chunk = &rest[..rest.len().min(BATCH * key_bytes)];
        let mut attributes = Attributes {
            keys: chunk.as_ptr() as u64,
            count: u32::try_from(chunk.len() / key_bytes).unwrap_or(u32::MAX),
            ..attributes(map)
        };
        let outcome = call(BPF_MAP_DELETE_BATCH, &mut attributes);
        // It stops at the first key that is not there, and tells how many came before.
        let done = attributes.count as usize;
        match outcome {
            Ok(()) => rest = &rest[chunk.len()..],
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                rest = &rest[((done + 1) * key_bytes).min(rest.len())..];
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

/// Entries that were read at once.
struct Batch<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
    /// How many there are in the room for them.
    count: usize,
    is_last: bool,
}

/// Room for a cursor: the largest key.
const CURSOR_WORDS: usize = 16;

impl Walk {
    /// Calls `visit` with the next entries, `size` of them or, where that many share a bucket, more. Yields
    /// whether these were the last.
    pub(super) fn go_on<K: Pod, V: Pod>(
        &mut self,
        map: &MapData,
        size: usize,
        mut visit: impl FnMut(&K, &V),
    ) -> io::Result<bool> {
        self.step(map, size, |size| {
            (vec![K::zeroed(); size], vec![V::zeroed(); size])
        })
        .map(|batch| {
            let entries = batch.keys.iter().zip(&batch.values);
            for (key, value) in entries.take(batch.count) {
                visit(key, value);
            }
            batch.is_last
        })
    }

    /// As [`Self::go_on`], of entries as bytes of the map's own sizes, which are given: keys and values, many at
    /// once.
    pub(super) fn go_on_bytes(
        &mut self,
        map: &MapData,
        (key_bytes, value_bytes): (usize, usize),
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> io::Result<bool> {
        self.step(map, BATCH, |size| {
            (vec![0_u8; size * key_bytes], vec![0_u8; size * value_bytes])
        })
        .map(|batch| {
            let (keys, values) = (batch.count * key_bytes, batch.count * value_bytes);
            visit(&batch.keys[..keys], &batch.values[..values]);
            batch.is_last
        })
    }

    /// The next entries, in room for at least `size`.
    fn step<K: Pod, V: Pod>(
        &mut self,
        map: &MapData,
        mut size: usize,
        room: impl Fn(usize) -> (Vec<K>, Vec<V>),
    ) -> io::Result<Batch<K, V>> {
        let mut next = vec![0_u64; CURSOR_WORDS];
        loop {
            let (mut keys, mut values) = room(size);
            let mut attributes = Attributes {
                in_batch: self.cursor.as_ref().map_or(0, |at| at.as_ptr() as u64),
                out_batch: next.as_mut_ptr() as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: u32::try_from(size).unwrap_or(u32::MAX),
                ..attributes(map)
            };
            let is_last = match call(BPF_MAP_LOOKUP_BATCH, &mut attributes) {
                Ok(()) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // A bucket holds more than fits (__htab_map_lookup_and_delete_batch).
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    size *= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.cursor = (!is_last).then_some(next);
            return Ok(Batch {
                keys,
                values,
                count: attributes.count as usize,
                is_last,
            });
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

/// The element member of `union bpf_attr`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Element {
    map_fd: u64,
    key: u64,
    value: u64,
    flags: u64,
}

/// Writes an entry, as bytes of the map's own sizes, if there is none of its key; whether it did.
pub(super) fn insert_bytes(map: &MapData, key: &[u8], value: &[u8]) -> io::Result<bool> {
    const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
    const BPF_NOEXIST: u64 = 1;
    let mut element = Element {
        map_fd: u64::from(attributes(map).map_fd),
        key: key.as_ptr() as u64,
        value: value.as_ptr() as u64,
        flags: BPF_NOEXIST,
    };
    // SAFETY: key and value outlive the call, and are as long as the caller says that the map's are.
    match unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut element) } {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The value of one key; None: not there.
pub(super) fn look_up<K: Pod, V: Pod>(map: &MapData, key: &K) -> io::Result<Option<V>> {
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
