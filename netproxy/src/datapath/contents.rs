//! What is in a map, as bytes: for maps whose layout is another one's.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use aya::maps::{MapData, MapError};
use aya::util::nr_cpus;
use rustc_hash::FxHashMap;

use super::layout::Layout;
use super::{DatapathError, batch};

/// An open map of a layout that may be of another build.
#[derive(Debug)]
pub(super) struct ForeignMap {
    map: MapData,
    layout: Layout,
    key_bytes: usize,
    /// Of one value, or of those of all CPUs.
    value_bytes: usize,
}

/// The keys and values of a map.
#[derive(Debug, Default)]
pub(super) struct Contents {
    key_bytes: usize,
    value_bytes: usize,
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl ForeignMap {
    /// Opens the map that is pinned there, and of which the record says `layout`; None: none is.
    pub(super) fn open(pin: &Path, layout: &Layout) -> Result<Option<Self>, DatapathError> {
        let failed = |error| DatapathError::file(pin, "cannot be opened")(error);
        let Some(map) = open_if_pinned(pin).map_err(failed)? else {
            return Ok(None);
        };
        let info = map
            .info()
            .map_err(|error| failed(io::Error::other(error)))?;
        let kind = info.map_type().map_or(0, |kind| kind as u32);
        let found = (kind, info.key_size(), info.value_size());
        let told = (layout.kind, layout.key.bytes, layout.value.bytes);
        if found != told {
            let describe = |(kind, key, value)| {
                format!("type {kind}, {key}-byte keys and {value}-byte values")
            };
            return Err(DatapathError::Layout {
                path: pin.to_owned(),
                found: describe(found),
                expected: describe(told),
            });
        }
        let value_bytes = if layout.is_per_cpu() {
            let cpus = nr_cpus().map_err(|(_, error)| failed(error))?;
            info.value_size().next_multiple_of(8) as usize * cpus
        } else {
            info.value_size() as usize
        };
        Ok(Some(Self {
            layout: Layout {
                entries: info.max_entries(),
                ..layout.clone()
            },
            key_bytes: info.key_size() as usize,
            value_bytes,
            map,
        }))
    }

    /// What it is made of, with the size that it has.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The open map.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }

    /// Nothing, of its sizes.
    pub(super) fn nothing(&self) -> Contents {
        Contents {
            key_bytes: self.key_bytes,
            value_bytes: self.value_bytes,
            ..Contents::default()
        }
    }

    /// Everything in it. Entries that come or go meanwhile may be missed or not.
    pub(super) fn read(&self) -> io::Result<Contents> {
        let mut contents = self.nothing();
        let mut walk = batch::Walk::default();
        let sizes = (self.key_bytes, self.value_bytes);
        while !walk.go_on_bytes(&self.map, sizes, |keys, values| {
            contents.keys.extend_from_slice(keys);
            contents.values.extend_from_slice(values);
        })? {}
        Ok(contents)
    }

    /// Writes entries of its own sizes.
    pub(super) fn write(&self, entries: &Contents) -> io::Result<()> {
        batch::update_bytes(&self.map, &entries.keys, &entries.values, entries.count())
    }

    /// Writes an entry of its own sizes if there is none of its key; whether it did.
    pub(super) fn insert(&self, key: &[u8], value: &[u8]) -> io::Result<bool> {
        batch::insert_bytes(&self.map, key, value)
    }

    /// Removes keys of its own size, which lie one behind the other.
    pub(super) fn remove(&self, keys: &[u8]) -> io::Result<()> {
        batch::delete_bytes(&self.map, keys, self.key_bytes)
    }
}

impl Contents {
    /// How many entries there are.
    pub(super) fn count(&self) -> usize {
        self.keys.len().checked_div(self.key_bytes).unwrap_or(0)
    }

    /// The size of a value.
    pub(super) fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Each key with its value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let keys = self.keys.chunks_exact(self.key_bytes.max(1));
        keys.zip(self.values.chunks_exact(self.value_bytes.max(1)))
    }

    /// The values by their keys.
    pub(super) fn by_key(&self) -> FxHashMap<&[u8], &[u8]> {
        self.iter().collect()
    }

    /// Adds an entry of the same sizes.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
    }

    /// The rooms of keys and values, for who appends an entry to both.
    pub(super) fn rooms(&mut self) -> (&mut Vec<u8>, &mut Vec<u8>) {
        (&mut self.keys, &mut self.values)
    }
}

/// The map that is pinned there, if one is.
pub(super) fn open_if_pinned(pin: &Path) -> io::Result<Option<MapData>> {
    match MapData::from_pin(pin) {
        Ok(map) => Ok(Some(map)),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(MapError::SyscallError(error)) => Err(error.io_error),
        Err(error) => Err(io::Error::other(error)),
    }
}
