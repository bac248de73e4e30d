//! `LAYOUTS`: what the maps beside it are made of, said by who made them. User space only.
//!
//! One value of as many bytes as the text has. A new text is a new map, put in place of the old one in one step.

use std::os::fd::{FromRawFd as _, OwnedFd};
use std::path::Path;
use std::{fs, io};

use aya::maps::{MapData, MapType};
use bytemuck::{Pod, Zeroable};

use super::contents::open_if_pinned;
use super::layout::Layouts;
use super::syscall::bpf;
use super::{DatapathError, batch};

/// Its name.
pub(super) const NAME: &str = "LAYOUTS";

/// Command of `bpf(2)` (uapi/linux/bpf.h); aya makes maps of known types only.
const BPF_MAP_CREATE: libc::c_long = 0;

/// For `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Create {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; 16],
}

/// Pins a record in this directory, in place of the one that is there.
pub(super) fn write(directory: &Path, layouts: &Layouts) -> Result<(), DatapathError> {
    let unfinished = directory.join("LAYOUTS_NEW");
    let pinned = serde_json::to_vec(layouts)
        .map_err(io::Error::other)
        .and_then(|mut text| {
            // The kernel's values are multiples of eight bytes.
            text.resize(text.len().next_multiple_of(8), b' ');
            let map = create(&text)?;
            match fs::remove_file(&unfinished) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => map.pin(&unfinished).map_err(io::Error::other)?,
            }
            fs::rename(&unfinished, directory.join(NAME))
        });
    pinned.map_err(DatapathError::map(NAME, "written"))
}

/// The record that is pinned in this directory; None: none is.
pub(super) fn read(directory: &Path) -> Result<Option<Layouts>, DatapathError> {
    let pin = directory.join(NAME);
    let map = open_if_pinned(&pin).map_err(DatapathError::map(NAME, "opened"))?;
    let Some(map) = map else {
        return Ok(None);
    };
    let text = text(&map).map_err(DatapathError::map(NAME, "read"))?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| DatapathError::Layout {
            path: pin,
            found: format!("something that cannot be read ({error})"),
            expected: "the layouts of the maps beside it".to_owned(),
        })
}

fn text(map: &MapData) -> io::Result<Vec<u8>> {
    let info = map.info().map_err(io::Error::other)?;
    let bytes = info.value_size() as usize;
    let sizes = (info.key_size() as usize, bytes.next_multiple_of(8));
    let mut text = Vec::new();
    batch::Walk::default().go_on_bytes(map, sizes, |_, value| {
        text.extend_from_slice(&value[..bytes.min(value.len())]);
    })?;
    Ok(text)
}

fn create(text: &[u8]) -> io::Result<MapData> {
    let mut name = [0; 16];
    name[..NAME.len()].copy_from_slice(NAME.as_bytes());
    let mut create = Create {
        kind: MapType::Array as u32,
        key_bytes: 4,
        value_bytes: u32::try_from(text.len()).map_err(io::Error::other)?,
        entries: 1,
        name,
        ..Create::zeroed()
    };
    // SAFETY: no pointers.
    let fd = unsafe { bpf(BPF_MAP_CREATE, &mut create) }?;
    // SAFETY: the kernel has just handed the descriptor to us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let map = MapData::from_fd(fd).map_err(io::Error::other)?;
    batch::update_bytes(&map, &0_u32.to_ne_bytes(), text, 1)?;
    Ok(map)
}
