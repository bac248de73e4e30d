//! Arrays whose memory is shared with the kernel: reading and writing costs no system call.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::MapData;
use bytemuck::Pod;
use netproxy_common::Network;
use netproxy_common::address::Address;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::DatapathError;

/// A `BPF_F_MMAPABLE` array of `T`. Elements are `size_of::<T>()` rounded up to eight bytes apart
/// (`array_map_alloc` in kernel/bpf/arraymap.c).
#[derive(Debug)]
pub(super) struct Mapped<T> {
    name: &'static str,
    memory: NonNull<u8>,
    entries: u32,
    /// Keeps the map alive.
    _map: MapData,
    _elements: PhantomData<T>,
}

// SAFETY: the memory is shared with the kernel only; `&mut self` guards every write.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps the array, writable or not.
    pub(super) fn new(
        name: &'static str,
        map: MapData,
        is_writable: bool,
    ) -> Result<Self, DatapathError> {
        let info = map.info().map_err(|error| DatapathError::Map {
            map: name,
            action: "looked at",
            source: std::io::Error::other(error),
        })?;
        let entries = info.max_entries();
        let protection = if is_writable {
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE
        } else {
            ProtFlags::PROT_READ
        };
        let length =
            NonZeroUsize::new(entries as usize * Self::STRIDE).ok_or(DatapathError::Full {
                map: name,
                entries: 0,
                object: "everything".to_owned(),
            })?;
        // SAFETY: a fresh mapping of the map's own memory, unmapped on drop.
        let memory = unsafe {
            mmap(
                None,
                length,
                protection,
                MapFlags::MAP_SHARED,
                map.fd().as_fd(),
                0,
            )
        }
        .map_err(|errno| DatapathError::map(name, "mapped into memory")(errno.into()))?;
        Ok(Self {
            name,
            memory: memory.cast(),
            entries,
            _map: map,
            _elements: PhantomData,
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Number of elements.
    pub(super) fn entries(&self) -> u32 {
        self.entries
    }

    /// The element at `index`; None beyond the end.
    pub(super) fn get(&self, index: u32) -> Option<T> {
        // SAFETY: `pointer` checked the bounds; any bit pattern is a `T`.
        self.pointer(index).map(|at| unsafe { at.read_volatile() })
    }

    /// Overwrites the element at `index`, which no reader may be using. False beyond the end.
    pub(super) fn set(&mut self, index: u32, value: T) -> bool {
        // SAFETY: as above.
        self.pointer(index)
            .map(|at| unsafe { at.write_volatile(value) })
            .is_some()
    }

    fn pointer(&self, index: u32) -> Option<*mut T> {
        if index >= self.entries {
            return None;
        }
        // SAFETY: in bounds, as just checked; the mapping is page aligned and the stride a
        // multiple of eight, which is the largest alignment a map value has.
        Some(
            unsafe { self.memory.add(index as usize * Self::STRIDE) }
                .cast::<T>()
                .as_ptr(),
        )
    }
}

impl Mapped<netproxy_common::Service> {
    /// Publishes `value` at `index`: one 8-byte store that makes all earlier writes visible first.
    pub(super) fn publish(&mut self, index: u32, value: netproxy_common::Service) -> bool {
        let Some(at) = self.pointer(index) else {
            return false;
        };
        // SAFETY: in bounds, aligned to eight bytes, and both sides access it as one word.
        let word = unsafe { AtomicU64::from_ptr(at.cast()) };
        word.store(bytemuck::cast(value), Ordering::Release);
        true
    }
}

impl<A: Address> Mapped<Network<A>>
where
    Network<A>: Pod,
{
    /// Fills the slot at `index`, which no reader may be using, and then lets it count.
    pub(super) fn occupy(&mut self, index: u32, network: Network<A>) {
        self.set(
            index,
            Network {
                in_use: 0,
                ..network
            },
        );
        self.set_in_use(index, network.in_use);
    }

    /// The slot at `index`, and those behind it, no longer count; readers may still be using it.
    pub(super) fn vacate(&mut self, index: u32) {
        self.set_in_use(index, 0);
    }

    fn set_in_use(&mut self, index: u32, in_use: u32) {
        if let Some(at) = self.pointer(index) {
            // SAFETY: in bounds, aligned to four bytes; both sides access it as one word.
            let word = unsafe { AtomicU32::from_ptr(&raw mut (*at).in_use) };
            word.store(in_use, Ordering::Release);
        }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        let length = self.entries as usize * size_of::<T>().next_multiple_of(8);
        // SAFETY: the mapping made by `new`, with its length. A failure leaks it, nothing else.
        let _ = unsafe { munmap(self.memory.cast(), length) };
    }
}
