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
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use nix::unistd::{SysconfVar, sysconf};

use super::DatapathError;

/// A `BPF_F_MMAPABLE` array of `T`. Elements are `size_of::<T>()` rounded up to eight bytes apart
/// (`array_map_alloc` in kernel/bpf/arraymap.c).
///
/// What is mapped counts as this process's memory, used or not (`remap_vmalloc_range`): so of an array that grows from
/// its beginning only as much is mapped as was asked for.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    name: &'static str,
    /// Addresses for all of it.
    memory: NonNull<u8>,
    /// How much of it is there, from the beginning on.
    reach_bytes: usize,
    entries: u32,
    map: MapData,
    protection: ProtFlags,
    _elements: PhantomData<T>,
}

/// As much is mapped at a time.
const STEP_BYTES: usize = 256 << 10;

// SAFETY: the memory is shared with the kernel only; `&mut self` guards every write.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// Maps all of the array, writable or not.
    pub(super) fn new(
        name: &'static str,
        map: MapData,
        is_writable: bool,
    ) -> Result<Self, DatapathError> {
        let protection = if is_writable {
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE
        } else {
            ProtFlags::PROT_READ
        };
        let mut mapped = Self::nothing_of(name, map, protection)?;
        mapped.reach(mapped.entries)?;
        Ok(mapped)
    }

    /// A writable array of which nothing is there until it is asked for.
    pub(super) fn growing(name: &'static str, map: MapData) -> Result<Self, DatapathError> {
        Self::nothing_of(name, map, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    fn nothing_of(
        name: &'static str,
        map: MapData,
        protection: ProtFlags,
    ) -> Result<Self, DatapathError> {
        let info = map.info().map_err(|error| DatapathError::Map {
            map: name,
            action: "looked at",
            source: std::io::Error::other(error),
        })?;
        let entries = info.max_entries();
        let length = NonZeroUsize::new(bytes::<T>(entries)).ok_or(DatapathError::Full {
            map: name,
            entries: 0,
            object: "everything".to_owned(),
        })?;
        // SAFETY: fresh addresses behind which nothing is, given back on drop.
        let memory = unsafe {
            mmap_anonymous(
                None,
                length,
                ProtFlags::PROT_NONE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
            )
        };
        let memory = memory
            .map_err(|errno| DatapathError::map(name, "given a place in memory")(errno.into()))?;
        Ok(Self {
            name,
            memory: memory.cast(),
            reach_bytes: 0,
            entries,
            map,
            protection,
            _elements: PhantomData,
        })
    }

    /// Has all elements before `end` there, as far as the array has them.
    pub(super) fn reach(&mut self, end: u32) -> Result<(), DatapathError> {
        let wanted = bytes::<T>(end.min(self.entries));
        if wanted <= self.reach_bytes {
            return Ok(());
        }
        let all = bytes::<T>(self.entries).next_multiple_of(page_bytes());
        let wanted = wanted.next_multiple_of(STEP_BYTES).min(all);
        let Some(missing) = NonZeroUsize::new(wanted - self.reach_bytes) else {
            return Ok(());
        };
        let failed =
            |errno: Errno| DatapathError::map(self.name, "mapped into memory")(errno.into());
        let offset = i64::try_from(self.reach_bytes).map_err(|_| failed(Errno::EOVERFLOW))?;
        // SAFETY: the part of the own addresses behind which nothing is yet.
        unsafe {
            let place = self.memory.add(self.reach_bytes).addr();
            mmap(
                Some(place),
                missing,
                self.protection,
                MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
                self.map.fd().as_fd(),
                offset,
            )
        }
        .map_err(failed)?;
        self.reach_bytes = wanted;
        Ok(())
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Number of elements.
    pub(super) fn entries(&self) -> u32 {
        self.entries
    }

    /// The element at `index`; None beyond what is there.
    pub(super) fn get(&self, index: u32) -> Option<T> {
        // SAFETY: `pointer` checked the bounds; any bit pattern is a `T`.
        self.pointer(index).map(|at| unsafe { at.read_volatile() })
    }

    /// Overwrites the element at `index`, which no reader may be using. False beyond what is there.
    pub(super) fn set(&mut self, index: u32, value: T) -> bool {
        // SAFETY: as above.
        self.pointer(index)
            .map(|at| unsafe { at.write_volatile(value) })
            .is_some()
    }

    fn pointer(&self, index: u32) -> Option<*mut T> {
        let end = bytes::<T>(index.checked_add(1)?);
        if index >= self.entries || end > self.reach_bytes {
            return None;
        }
        // SAFETY: in bounds, as just checked; the mapping is page aligned and the stride a
        // multiple of eight, which is the largest alignment a map value has.
        Some(
            unsafe { self.memory.add(bytes::<T>(index)) }
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
        // SAFETY: the addresses taken by `nothing_of`, all of them. A failure leaks them, nothing else.
        let _ = unsafe { munmap(self.memory.cast(), bytes::<T>(self.entries)) };
    }
}

/// The size of so many elements.
const fn bytes<T>(elements: u32) -> usize {
    elements as usize * size_of::<T>().next_multiple_of(8)
}

fn page_bytes() -> usize {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|it| usize::try_from(it).ok()).unwrap_or(4096)
}
