//! Service ports in the kernel: `NAMES`, `SERVICES`, `RANGES`, `ENDPOINTS_*`.
//!
//! The kernel's memory is the record: what stands there is compared with what is wanted, so that
//! a restart and a repair are the same as an update.

mod publish;

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::MapData;
use netproxy_common::{Endpoint, Ipv4, Ipv6, Name, Range, Service};
use rustc_hash::{FxHashMap, FxHashSet};

use super::header::{is_v6, length, live_range};
use super::load::Loaded;
use super::mapped::Mapped;
use super::ranges::Ranges;
use super::service_ids::ServiceIds;
use super::source_ranges::SourceRanges;
use super::tables::Tables;
use super::{DatapathError, MapFill, batch, names, tables};
use crate::model::{Family, ObjectName};
use crate::plan::{PortKey, WantedPort};

/// The endpoints of one family.
#[derive(Debug)]
struct Slots<A> {
    array: Mapped<Endpoint<A>>,
    free: Ranges,
    sources: SourceRanges<A>,
}

/// What [`Services::put`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// The port was as wanted.
    Unchanged,
    /// It was written.
    Written,
}

/// The service ports in the kernel, and which room is free.
#[derive(Debug)]
pub(super) struct Services {
    words: Mapped<Service>,
    headers: Mapped<Range>,
    v4: Slots<Ipv4>,
    v6: Slots<Ipv6>,
    names: MapData,
    ids: ServiceIds,
    free_headers: Ranges,
    tables: Tables,
    /// Those that are balanced at random for want of a table.
    without_table: BTreeSet<PortKey>,
    by_key: FxHashMap<PortKey, u32>,
    by_service: BTreeMap<ObjectName, BTreeSet<PortKey>>,
}

impl Services {
    /// Reads back what the maps hold; `carried` are the ids found in flows, and of those below `counted` it
    /// is counted what they carry.
    pub(super) fn adopt(
        loaded: &mut Loaded,
        carried: &FxHashSet<u32>,
        counted: u32,
    ) -> Result<Self, DatapathError> {
        let words: Mapped<Service> = Mapped::new("SERVICES", loaded.take("SERVICES")?, true)?;
        let mut headers = Mapped::growing("RANGES", loaded.take("RANGES")?)?;
        let mut v4 = Mapped::growing("ENDPOINTS_V4", loaded.take("ENDPOINTS_V4")?)?;
        let mut v6 = Mapped::growing("ENDPOINTS_V6", loaded.take("ENDPOINTS_V6")?)?;
        let names = loaded.take("NAMES")?;
        let mut found = Vec::new();
        batch::for_each(&names, |id: &u32, name: &Name| {
            found.push((*id, names::decode(name)));
        })
        .map_err(DatapathError::map("NAMES", "read"))?;
        let mut by_key = FxHashMap::default();
        let mut by_service: BTreeMap<ObjectName, BTreeSet<PortKey>> = BTreeMap::new();
        let (mut taken_headers, mut taken_v4, mut taken_v6) = (Vec::new(), Vec::new(), Vec::new());
        let (mut sets_v4, mut sets_v6) = (Vec::new(), Vec::new());
        let mut taken_tables = Vec::new();
        for (id, key) in &found {
            let Some(key) = key else { continue };
            if let Some(word) = words.get(*id) {
                headers.reach(word.range.saturating_add(1))?;
            }
            if let Some((index, range)) = live_range(&words, &headers, *id) {
                let end = range.base.saturating_add(length(&range));
                let (taken, sets) = if is_v6(&range) {
                    v6.reach(end)?;
                    (&mut taken_v6, &mut sets_v6)
                } else {
                    v4.reach(end)?;
                    (&mut taken_v4, &mut sets_v4)
                };
                taken_headers.push((index, 1));
                taken.push((range.base, length(&range)));
                sets.push(range.source_ranges);
                taken_tables.extend((range.table != 0).then_some(range.table));
            }
            by_key.insert(key.clone(), *id);
            by_service
                .entry(key.service.clone())
                .or_default()
                .insert(key.clone());
        }
        let used = found.iter().map(|(id, _)| *id).collect();
        Ok(Self {
            ids: ServiceIds::new(words.entries(), &used, carried).preferring_below(counted),
            // Header zero means: not in use.
            free_headers: Ranges::new(1, headers.entries(), taken_headers),
            tables: Tables::adopt(loaded.take(tables::NAME)?, taken_tables)?,
            without_table: BTreeSet::new(),
            v4: Slots {
                free: Ranges::new(0, v4.entries(), taken_v4),
                array: v4,
                sources: SourceRanges::adopt(loaded, "SOURCE_RANGES_V4", sets_v4)?,
            },
            v6: Slots {
                free: Ranges::new(0, v6.entries(), taken_v6),
                array: v6,
                sources: SourceRanges::adopt(loaded, "SOURCE_RANGES_V6", sets_v6)?,
            },
            words,
            headers,
            names,
            by_key,
            by_service,
        })
    }

    /// The id of a service port.
    pub(super) fn id_of(&self, key: &PortKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// The service that has a port of this id.
    pub(super) fn name_of(&self, id: u32) -> Option<&ObjectName> {
        let mut ports = self.by_key.iter();
        ports
            .find(|(_, known)| **known == id)
            .map(|(key, _)| &key.service)
    }

    /// The ports of a service that the maps hold.
    pub(super) fn ports_of(&self, name: &ObjectName) -> Vec<PortKey> {
        self.by_service
            .get(name)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The services that the maps hold.
    pub(super) fn names(&self) -> BTreeSet<ObjectName> {
        self.by_service.keys().cloned().collect()
    }

    /// Makes a service port answer as wanted; yields its id. Readers see the old state or the
    /// new one, whole.
    pub(super) fn put(&mut self, port: &WantedPort) -> Result<(u32, Put), DatapathError> {
        let known = self.by_key.get(&port.key).copied();
        let id = match known {
            Some(id) => id,
            None => self.ids.take().ok_or_else(|| DatapathError::Full {
                map: "SERVICES",
                entries: self.words.entries() as usize,
                object: port.key.to_string(),
            })?,
        };
        let outcome = match port.key.family {
            Family::V4 => self.publish(id, port, |services| &mut services.v4),
            Family::V6 => self.publish(id, port, |services| &mut services.v6),
        };
        let is_new = known.is_none();
        match outcome {
            Ok(put) => {
                if is_new {
                    self.name(id, &port.key)?;
                }
                Ok((id, put))
            }
            Err(error) => {
                if is_new {
                    self.ids.release(id);
                }
                Err(error)
            }
        }
    }

    /// Forgets a service port; flows to its endpoints live on.
    pub(super) fn remove(&mut self, key: &PortKey) -> Result<(), DatapathError> {
        let Some(id) = self.by_key.remove(key) else {
            return Ok(());
        };
        if let Some(ports) = self.by_service.get_mut(&key.service) {
            ports.remove(key);
            if ports.is_empty() {
                self.by_service.remove(&key.service);
            }
        }
        if let Some((index, range)) = live_range(&self.words, &self.headers, id) {
            let generation = self.generation(id).wrapping_add(1);
            self.words.publish(
                id,
                Service {
                    range: 0,
                    generation,
                },
            );
            self.retire(index, &range);
        }
        self.ids.release(id);
        self.without_table.remove(key);
        batch::delete(&self.names, &[id]).map_err(DatapathError::map("NAMES", "written"))
    }

    /// No flow carries any id but those in `in_use`. Yields those that others are given next.
    pub(super) fn forget_ids_but(&mut self, in_use: &FxHashSet<u32>) -> BTreeSet<u32> {
        self.ids.recycle(in_use)
    }

    /// How full the maps are.
    pub(super) fn fills(&self) -> [MapFill; 7] {
        let of = |map, entries: u32, capacity: u32| MapFill {
            map,
            entries,
            capacity,
        };
        let Self {
            words,
            headers,
            v4,
            v6,
            tables,
            ..
        } = self;
        let ids = u32::try_from(self.by_key.len()).unwrap_or(u32::MAX);
        let taken = |entries: u32, free: &Ranges| entries.saturating_sub(free.free());
        [
            of(words.name(), ids, words.entries()),
            of(
                headers.name(),
                taken(headers.entries(), &self.free_headers),
                headers.entries(),
            ),
            of(
                v4.array.name(),
                taken(v4.array.entries(), &v4.free),
                v4.array.entries(),
            ),
            of(
                v6.array.name(),
                taken(v6.array.entries(), &v6.free),
                v6.array.entries(),
            ),
            v4.sources.fill(),
            v6.sources.fill(),
            tables.fill_level(),
        ]
    }

    /// The ports that are balanced at random for want of a table.
    pub(super) fn without_table(&self) -> impl ExactSizeIterator<Item = &PortKey> {
        self.without_table.iter()
    }

    /// Whether the maps hold this service.
    pub(super) fn holds(&self, name: &ObjectName) -> bool {
        self.by_service.contains_key(name)
    }

    /// The services by the ids of their ports.
    pub(super) fn by_id(&self) -> impl Iterator<Item = (u32, &ObjectName)> {
        self.by_key.iter().map(|(key, id)| (*id, &key.service))
    }

    fn name(&mut self, id: u32, key: &PortKey) -> Result<(), DatapathError> {
        let name = names::encode(key).ok_or_else(|| DatapathError::Full {
            map: "NAMES",
            entries: netproxy_common::name::NAME_BYTES,
            object: key.to_string(),
        })?;
        batch::update(&self.names, &[(id, name)])
            .map_err(DatapathError::map("NAMES", "written"))?;
        self.by_key.insert(key.clone(), id);
        self.by_service
            .entry(key.service.clone())
            .or_default()
            .insert(key.clone());
        Ok(())
    }
}
