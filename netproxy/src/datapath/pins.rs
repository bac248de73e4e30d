//! Where maps and links are pinned: `<bpffs>/netproxy/v<schema>/`, links in `links/` below it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use aya::maps::lpm_trie::Key as LpmKey;
use aya::maps::{MapError, MapInfo, MapType};
use netproxy_common::{
    AddressFlags, Affinity, AffinityKey, Connection, Device, DropKey, Endpoint, Flow, FlowKey,
    Fragment, FragmentKey, Frontend, FrontendKey, Ipv4, Ipv6, Listener, Name, Network, Ports,
    Range, SCHEMA_VERSION, Service, Source, SourceRange, Talk,
};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use tracing::warn;

use super::link::Link;
use super::{DatapathError, MapSize};

/// The pin directory of one schema version on one BPF file system.
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
    shape::<Ipv4, AddressFlags>("ADDRESSES_V4", MapType::Hash),
    shape::<Ipv6, AddressFlags>("ADDRESSES_V6", MapType::Hash),
    shape::<FrontendKey<Ipv4>, Frontend>("FRONTENDS_V4", MapType::Hash),
    shape::<FrontendKey<Ipv6>, Frontend>("FRONTENDS_V6", MapType::Hash),
    shape::<u32, Service>("SERVICES", MapType::Array),
    shape::<u32, Range>("RANGES", MapType::Array),
    shape::<u32, Endpoint<Ipv4>>("ENDPOINTS_V4", MapType::Array),
    shape::<u32, Endpoint<Ipv6>>("ENDPOINTS_V6", MapType::Array),
    shape::<FlowKey<Ipv4>, Flow<Ipv4>>("FLOWS_V4", MapType::Hash),
    shape::<FlowKey<Ipv6>, Flow<Ipv6>>("FLOWS_V6", MapType::Hash),
    shape::<FlowKey<Ipv4>, Flow<Ipv4>>("PENDING_V4", MapType::LruHash),
    shape::<FlowKey<Ipv6>, Flow<Ipv6>>("PENDING_V6", MapType::LruHash),
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
    shape::<u32, u64>("COUNTERS", MapType::PerCpuArray),
    shape::<DropKey, u64>("DROPS", MapType::LruHash),
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
            directory: bpffs.join(format!("netproxy/v{SCHEMA_VERSION}")),
        }
    }

    /// The directory of this schema.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of every schema.
    pub(super) fn root(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }

    /// The pin of a map.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
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

    /// Refuses pinned maps of another shape: the kernel would let us misread them.
    pub(super) fn check_shapes(&self) -> Result<(), DatapathError> {
        for Shape {
            name,
            kind,
            key_bytes,
            value_bytes,
        } in SHAPES
        {
            let path = self.map(name);
            if !path.exists() {
                continue;
            }
            let describe = |kind: MapType, key: usize, value: usize| {
                format!("type {kind:?}, {key}-byte keys and {value}-byte values")
            };
            let info = match MapInfo::from_pin(&path) {
                Ok(info) => info,
                Err(MapError::SyscallError(error))
                    if error.io_error.kind() == io::ErrorKind::PermissionDenied =>
                {
                    return Err(DatapathError::file(path, "cannot be opened")(
                        error.io_error,
                    ));
                }
                Err(error) => {
                    return Err(DatapathError::Layout {
                        path,
                        found: format!("something that cannot be opened as a map ({error})"),
                        expected: describe(*kind, *key_bytes, *value_bytes),
                    });
                }
            };
            let found = (
                info.map_type().unwrap_or(MapType::Unspecified),
                info.key_size() as usize,
                info.value_size() as usize,
            );
            if found != (*kind, *key_bytes, *value_bytes) {
                return Err(DatapathError::Layout {
                    path,
                    found: describe(found.0, found.1, found.2),
                    expected: describe(*kind, *key_bytes, *value_bytes),
                });
            }
        }
        Ok(())
    }

    /// Says so where a pinned map keeps another size than the one asked for.
    pub(super) fn warn_of_size(&self, MapSize { map, entries }: MapSize) {
        if let Ok(info) = MapInfo::from_pin(self.map(map))
            && info.max_entries() != entries
        {
            warn!(
                map,
                entries,
                pinned = info.max_entries(),
                "the pinned map keeps its size; run `netproxy cleanup` before the restart to \
                 change it"
            );
        }
    }

    /// Removes every pin of every schema; counts maps and links.
    pub(super) fn remove(&self) -> Result<Removed, DatapathError> {
        let mut removed = Removed::default();
        let parent = self.root();
        for schema in directory(parent)? {
            for pin in directory(&schema)? {
                if !pin.is_dir() {
                    removed.maps += 1;
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
            fs::remove_dir_all(&schema)
                .map_err(DatapathError::file(schema, "cannot be removed"))?;
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
