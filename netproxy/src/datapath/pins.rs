//! Where maps, links and programs are pinned: `<bpffs>/netproxy/v1/`, links in `links/` and programs in `programs/`
//! below it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use aya::maps::lpm_trie::Key as LpmKey;
use aya::maps::{MapData, MapType};
use netproxy_common::maglev::Table;
use netproxy_common::{
    AddressFlags, Affinity, AffinityKey, Connection, Device, DropKey, Endpoint, Flow, FlowKey,
    Fragment, FragmentKey, Frontend, FrontendKey, Ipv4, Ipv6, Listener, Name, Network,
    PINS_VERSION, PendingUntil, Ports, Prefixes, Range, Service, Source, SourceRange, Talk,
    Traffic, Turnover,
};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::layout::Layout;
use super::link::Link;
use super::load::compiled_layouts;
use super::{DatapathError, in_force, record};

/// The directory of the pins on one BPF file system.
#[derive(Clone, Debug)]
pub struct Pins {
    bpffs: PathBuf,
    directory: PathBuf,
}

/// The shape of a map, as the programs of this release expect it.
struct Shape {
    name: &'static str,
    kind: MapType,
    key_bytes: usize,
    value_bytes: usize,
}

const fn shape<K, V>(name: &'static str, kind: MapType) -> Shape {
    Shape {
        name,
        kind,
        key_bytes: size_of::<K>(),
        value_bytes: size_of::<V>(),
    }
}

/// Every pinned map. What is not here (per-CPU scratch room) dies with the programs.
const SHAPES: &[Shape] = &[
    shape::<u32, Prefixes>("PREFIXES", MapType::Array),
    shape::<Ipv4, AddressFlags>("ADDRESSES_V4", MapType::Hash),
    shape::<Ipv6, AddressFlags>("ADDRESSES_V6", MapType::Hash),
    shape::<FrontendKey<Ipv4>, Frontend>("FRONTENDS_V4", MapType::Hash),
    shape::<FrontendKey<Ipv6>, Frontend>("FRONTENDS_V6", MapType::Hash),
    shape::<u32, Service>("SERVICES", MapType::Array),
    shape::<u32, Range>("RANGES", MapType::Array),
    shape::<u32, Table>("MAGLEV", MapType::Array),
    shape::<u32, Endpoint<Ipv4>>("ENDPOINTS_V4", MapType::Array),
    shape::<u32, Endpoint<Ipv6>>("ENDPOINTS_V6", MapType::Array),
    shape::<FlowKey<Ipv4>, Flow<Ipv4>>("FLOWS_V4", MapType::Hash),
    shape::<FlowKey<Ipv6>, Flow<Ipv6>>("FLOWS_V6", MapType::Hash),
    shape::<FlowKey<Ipv4>, Flow<Ipv4>>("PENDING_V4", MapType::LruHash),
    shape::<FlowKey<Ipv6>, Flow<Ipv6>>("PENDING_V6", MapType::LruHash),
    shape::<u32, PendingUntil>("PENDING_UNTIL", MapType::Array),
    shape::<u32, u32>("EDGE_OPENED", MapType::Array),
    shape::<u32, u32>("NO_EDGE_BEFORE", MapType::Array),
    shape::<u32, Turnover>("TURNOVER", MapType::PerCpuArray),
    shape::<u32, Network<Ipv4>>("SERVICE_CIDRS_V4", MapType::Array),
    shape::<u32, Network<Ipv6>>("SERVICE_CIDRS_V6", MapType::Array),
    shape::<u32, Network<Ipv4>>("POD_CIDRS_V4", MapType::Array),
    shape::<u32, Network<Ipv6>>("POD_CIDRS_V6", MapType::Array),
    shape::<LpmKey<SourceRange<Ipv4>>, u32>("SOURCE_RANGES_V4", MapType::LpmTrie),
    shape::<LpmKey<SourceRange<Ipv6>>, u32>("SOURCE_RANGES_V6", MapType::LpmTrie),
    shape::<AffinityKey<Ipv4>, Affinity<Ipv4>>("AFFINITY_V4", MapType::LruHash),
    shape::<AffinityKey<Ipv6>, Affinity<Ipv6>>("AFFINITY_V6", MapType::LruHash),
    shape::<FrontendKey<Ipv4>, Ports>("PORTS_V4", MapType::LruHash),
    shape::<FrontendKey<Ipv6>, Ports>("PORTS_V6", MapType::LruHash),
    shape::<FragmentKey<Ipv4>, Fragment>("FRAGMENTS_V4", MapType::LruHash),
    shape::<FragmentKey<Ipv6>, Fragment>("FRAGMENTS_V6", MapType::LruHash),
    shape::<i32, Connection>("SOCKETS", MapType::SkStorage),
    shape::<i32, Talk>("TALKS", MapType::SkStorage),
    shape::<u64, u32>("SOCKET_CLIENTS", MapType::Hash),
    shape::<u32, Device>("DEVICES", MapType::Hash),
    shape::<u32, Source>("SOURCES", MapType::Hash),
    shape::<u32, u32>("HANDOVER", MapType::Array),
    shape::<u32, u64>("PAUSE", MapType::Array),
    shape::<u32, u64>("COUNTERS", MapType::PerCpuArray),
    shape::<DropKey, u64>("DROPS", MapType::LruHash),
    shape::<u32, Traffic>("TRAFFIC", MapType::PerCpuArray),
    shape::<(), ()>("EVENTS", MapType::RingBuf),
    shape::<u32, Listener>("LISTENER", MapType::Array),
    shape::<u32, Name>("NAMES", MapType::Hash),
];

impl Pins {
    /// Below the BPF file system mounted at `bpffs`.
    #[must_use]
    pub fn new(bpffs: &Path) -> Self {
        Self {
            bpffs: bpffs.to_owned(),
            directory: bpffs.join(format!("netproxy/v{PINS_VERSION}")),
        }
    }

    /// The directory of the maps.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of everything.
    pub(super) fn root(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }

    /// The pin of a map.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where new maps are made while old ones are in force; see `succession.rs`.
    pub(super) fn preparing(&self) -> PathBuf {
        self.root().join("preparing")
    }

    /// Where the maps are that are the truth, until they are in the place of those before.
    pub(super) fn next(&self) -> PathBuf {
        self.root().join("next")
    }

    /// The directory of the pinned links.
    #[must_use]
    pub fn links(&self) -> PathBuf {
        self.directory.join("links")
    }

    /// The directory of the pinned links of sockets.
    #[must_use]
    pub fn sockets(&self) -> PathBuf {
        self.directory.join("sockets")
    }

    /// The directory of the pinned programs.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.directory.join("programs")
    }

    /// The names of all pinned maps.
    pub(super) fn map_names() -> impl Iterator<Item = &'static str> {
        SHAPES.iter().map(|shape| shape.name)
    }

    /// Makes the directories.
    pub(super) fn create(&self) -> Result<(), DatapathError> {
        let is_bpffs = statfs(&self.bpffs)
            .map(|found| found.filesystem_type() == BPF_FS_MAGIC)
            .map_err(|errno| DatapathError::File {
                path: self.bpffs.clone(),
                reason: "no BPF file system can be looked for here",
                source: errno.into(),
            })?;
        if !is_bpffs {
            return Err(DatapathError::NotBpffs {
                path: self.bpffs.clone(),
            });
        }
        fs::create_dir_all(self.links()).map_err(DatapathError::file(
            self.links(),
            "cannot make the directory",
        ))
    }

    /// Whether the map of this name has keys and values of the sizes that this process reads and writes.
    pub(super) fn has_shape(name: &str, layout: &Layout) -> bool {
        SHAPES.iter().find(|shape| shape.name == name).is_some_and(
            |Shape {
                 kind,
                 key_bytes,
                 value_bytes,
                 ..
             }| {
                layout.is(*kind)
                    && layout.key.bytes as usize == *key_bytes
                    && layout.value.bytes as usize == *value_bytes
            },
        )
    }

    /// Refuses maps that an agent of another build has made: they would be misread.
    ///
    /// # Errors
    /// [`DatapathError::OtherBuild`].
    pub(super) fn check_layouts(&self) -> Result<(), DatapathError> {
        let Some(recorded) = record::read(&self.directory)? else {
            return Ok(());
        };
        for (name, layout) in compiled_layouts()? {
            if recorded.get(name).is_some_and(|told| !told.is_like(layout)) {
                return Err(DatapathError::OtherBuild {
                    path: self.map(name),
                });
            }
        }
        Ok(())
    }

    /// Opens a pinned map, whose keys and values have the sizes that this process reads and writes: they are looked
    /// at in what was opened, as another may take its place at any time.
    pub(super) fn open(&self, name: &'static str) -> Result<MapData, DatapathError> {
        let failed = |error| DatapathError::map(name, "opened")(io::Error::other(error));
        let map = MapData::from_pin(self.map(name)).map_err(failed)?;
        let info = map.info().map_err(failed)?;
        let found = (info.key_size() as usize, info.value_size() as usize);
        let is_ours =
            |shape: &&Shape| shape.name == name && (shape.key_bytes, shape.value_bytes) == found;
        match SHAPES.iter().find(is_ours) {
            Some(_) => Ok(map),
            None => Err(DatapathError::OtherBuild {
                path: self.map(name),
            }),
        }
    }

    /// Forgets maps of other releases that this one does not have: nobody would keep them up to date.
    pub(super) fn forget_others(&self) -> Result<(), DatapathError> {
        for pin in directory(&self.directory)? {
            let name = pin.file_name().and_then(|name| name.to_str());
            let is_ours =
                name == Some(record::NAME) || Self::map_names().any(|ours| name == Some(ours));
            if !is_ours && !pin.is_dir() {
                fs::remove_file(&pin).map_err(DatapathError::file(pin, "cannot be removed"))?;
            }
        }
        Ok(())
    }

    /// Removes every pin; counts maps and links.
    pub(super) fn remove(&self) -> Result<Removed, DatapathError> {
        let mut removed = Removed::default();
        let parent = self.root();
        for part in directory(parent)? {
            for pin in directory(&part)? {
                if !pin.is_dir() {
                    removed.maps += 1;
                    continue;
                }
                if pin.ends_with("programs") || pin.ends_with(in_force::HOOKS) {
                    // They go with the directory.
                    continue;
                }
                let mut links = directory(&pin)?;
                // What is sent last is answered last: what translates answers goes after the rest.
                links.sort_by_key(|link| link.to_string_lossy().ends_with("-egress"));
                removed.links += links.len();
                for link in links {
                    if let Ok(Some(link)) = Link::open(&link) {
                        // What cannot be detached so, is with its pin.
                        let _ = link.detach();
                    }
                }
            }
            fs::remove_dir_all(&part).map_err(DatapathError::file(part, "cannot be removed"))?;
        }
        match fs::remove_dir(parent) {
            Ok(()) => Ok(removed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(removed),
            Err(error) => Err(DatapathError::file(parent, "cannot be removed")(error)),
        }
    }

    /// Whether anything is pinned here.
    pub(super) fn are_present(&self) -> Result<bool, DatapathError> {
        self.map("SERVICES")
            .try_exists()
            .map_err(DatapathError::file(
                &self.directory,
                "cannot be looked into",
            ))
    }
}

/// What was pinned and is no longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Maps.
    pub maps: usize,
    /// Links.
    pub links: usize,
    /// Filters on clsact qdiscs.
    pub filters: usize,
}

/// What is in a directory; nothing where there is none.
fn directory(path: &Path) -> Result<Vec<PathBuf>, DatapathError> {
    let failed = |error| DatapathError::file(path, "cannot be listed")(error);
    match fs::read_dir(path) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()
            .map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}
