//! Service ports in the kernel: `NAMES`, `SERVICES`, `RANGES`, `ENDPOINTS_*`.
//!
//! The kernel's memory is the record: what stands there is compared with what is wanted, so that
//! a restart and a repair are the same as an update.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::MapData;
use netproxy_common::{Endpoint, Ipv4, Ipv6, Name, Range, RangeFlags, Service};
use rustc_hash::{FxHashMap, FxHashSet};

use super::encode::{self, Encode};
use super::grace::wait_for_grace_period;
use super::load::Loaded;
use super::mapped::Mapped;
use super::ranges::Ranges;
use super::service_ids::ServiceIds;
use super::{DatapathError, batch, names};
use crate::model::{Family, ObjectName};
use crate::plan::{PortKey, WantedPort, WantedRange};

/// One service port as the maps hold it.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    /// Its id.
    pub id: u32,
    /// What it is called.
    pub key: PortKey,
    /// How often it has changed.
    pub generation: u32,
    /// The header of its endpoints.
    pub range: Range,
}

/// One endpoint as the maps hold it.
#[derive(Clone, Copy, Debug)]
pub struct EndpointEntry {
    /// Its address.
    pub address: std::net::IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it is on this node.
    pub is_local: bool,
    /// Which of the seven segments it is in.
    pub segment: usize,
}

/// The endpoints of one family.
#[derive(Debug)]
struct Slots<A> {
    array: Mapped<Endpoint<A>>,
    free: Ranges,
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
    by_key: FxHashMap<PortKey, u32>,
    by_service: BTreeMap<ObjectName, BTreeSet<PortKey>>,
}

impl Services {
    /// Reads back what the maps hold; `carried` are the ids found in flows.
    pub(super) fn adopt(
        loaded: &mut Loaded,
        carried: &FxHashSet<u32>,
    ) -> Result<Self, DatapathError> {
        let words = Mapped::new("SERVICES", loaded.take("SERVICES")?, true)?;
        let headers: Mapped<Range> = Mapped::new("RANGES", loaded.take("RANGES")?, true)?;
        let v4 = Mapped::new("ENDPOINTS_V4", loaded.take("ENDPOINTS_V4")?, true)?;
        let v6 = Mapped::new("ENDPOINTS_V6", loaded.take("ENDPOINTS_V6")?, true)?;
        let names = loaded.take("NAMES")?;
        let mut found = Vec::new();
        batch::for_each(&names, |id: &u32, name: &Name| {
            found.push((*id, names::decode(name)));
        })
        .map_err(DatapathError::map("NAMES", "read"))?;
        let mut by_key = FxHashMap::default();
        let mut by_service: BTreeMap<ObjectName, BTreeSet<PortKey>> = BTreeMap::new();
        let (mut taken_headers, mut taken_v4, mut taken_v6) = (Vec::new(), Vec::new(), Vec::new());
        for (id, key) in &found {
            let Some(key) = key else { continue };
            if let Some((index, range)) = live_range(&words, &headers, *id) {
                let taken = if is_v6(&range) {
                    &mut taken_v6
                } else {
                    &mut taken_v4
                };
                taken_headers.push((index, 1));
                taken.push((range.base, length(&range)));
            }
            by_key.insert(key.clone(), *id);
            by_service
                .entry(key.service.clone())
                .or_default()
                .insert(key.clone());
        }
        let used = found.iter().map(|(id, _)| *id).collect();
        Ok(Self {
            ids: ServiceIds::new(words.entries(), &used, carried),
            // Header zero means: not in use.
            free_headers: Ranges::new(1, headers.entries(), taken_headers),
            v4: Slots {
                free: Ranges::new(0, v4.entries(), taken_v4),
                array: v4,
            },
            v6: Slots {
                free: Ranges::new(0, v6.entries(), taken_v6),
                array: v6,
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
        batch::delete(&self.names, &[id]).map_err(DatapathError::map("NAMES", "written"))
    }

    /// No flow carries any id but those in `in_use`.
    pub(super) fn forget_ids_but(&mut self, in_use: &FxHashSet<u32>) {
        self.ids.recycle(in_use);
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

    fn publish<A: Encode>(
        &mut self,
        id: u32,
        port: &WantedPort,
        slots: impl Fn(&mut Self) -> &mut Slots<A>,
    ) -> Result<Put, DatapathError>
    where
        Endpoint<A>: bytemuck::Pod,
    {
        let endpoints = encode::endpoints::<A>(&port.range.endpoints);
        let old = live_range(&self.words, &self.headers, id);
        if let Some((_, range)) = &old
            && *range == header(id, range.base, port)
            && is_filled(&slots(self).array, range.base, &endpoints)
        {
            return Ok(Put::Unchanged);
        }
        let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        let base = self.take_or_recycle(|services| slots(services).free.take(count));
        let base = base.ok_or_else(|| {
            let array = &slots(self).array;
            DatapathError::Full {
                map: array.name(),
                entries: array.entries() as usize,
                object: port.key.to_string(),
            }
        })?;
        let Some(index) = self.take_or_recycle(|services| services.free_headers.take(1)) else {
            slots(self).free.retire(base, count);
            return Err(DatapathError::Full {
                map: "RANGES",
                entries: self.headers.entries() as usize,
                object: port.key.to_string(),
            });
        };
        let array = &mut slots(self).array;
        for (slot, endpoint) in (base..).zip(&endpoints) {
            array.set(slot, *endpoint);
        }
        self.headers.set(index, header(id, base, port));
        let generation = self.generation(id).wrapping_add(1);
        self.words.publish(
            id,
            Service {
                range: index,
                generation,
            },
        );
        if let Some((index, range)) = old {
            self.retire(index, &range);
        }
        Ok(Put::Written)
    }

    fn generation(&self, id: u32) -> u32 {
        self.words.get(id).map_or(0, |word| word.generation)
    }

    fn retire(&mut self, index: u32, range: &Range) {
        self.free_headers.retire(index, 1);
        let free = if is_v6(range) {
            &mut self.v6.free
        } else {
            &mut self.v4.free
        };
        free.retire(range.base, length(range));
    }

    /// What `take` yields, if need be after a grace period that sets free what was retired.
    fn take_or_recycle(&mut self, mut take: impl FnMut(&mut Self) -> Option<u32>) -> Option<u32> {
        if let Some(taken) = take(self) {
            return Some(taken);
        }
        let rooms = [&mut self.v4.free, &mut self.v6.free, &mut self.free_headers];
        if !rooms.iter().any(|room| room.has_quarantine()) || wait_for_grace_period().is_err() {
            return None;
        }
        for room in rooms {
            room.recycle();
        }
        take(self)
    }
}

/// The range in force for a service id, with its index.
pub(super) fn live_range(
    words: &Mapped<Service>,
    headers: &Mapped<Range>,
    id: u32,
) -> Option<(u32, Range)> {
    let word = words.get(id).filter(|word| word.range != 0)?;
    let range = headers
        .get(word.range)
        .filter(|range| range.service == id)?;
    Some((word.range, range))
}

/// Whether the range's endpoints are IPv6.
pub(super) fn is_v6(range: &Range) -> bool {
    range.flags & RangeFlags::IPV6 != 0
}

/// Number of endpoints in a range.
pub(super) fn length(range: &Range) -> u32 {
    let [.., end] = range.segment_ends;
    end
}

fn is_filled<A: Encode>(array: &Mapped<Endpoint<A>>, base: u32, wanted: &[Endpoint<A>]) -> bool
where
    Endpoint<A>: bytemuck::Pod,
{
    (base..)
        .zip(wanted)
        .all(|(slot, endpoint)| array.get(slot) == Some(*endpoint))
}

fn header(id: u32, base: u32, port: &WantedPort) -> Range {
    let WantedRange {
        endpoints: _,
        segment_ends,
        internal,
        external_cluster,
        external_local,
        verdicts,
        is_external_local,
        affinity_s,
        source_ranges: _,
        masquerades_internal,
        masquerades_external,
    } = &port.range;
    let mut flags = 0;
    if *is_external_local {
        flags |= RangeFlags::EXTERNAL_LOCAL;
    }
    if port.key.family == Family::V6 {
        flags |= RangeFlags::IPV6;
    }
    if *masquerades_internal {
        flags |= RangeFlags::MASQUERADE_INTERNAL;
    }
    if *masquerades_external {
        flags |= RangeFlags::MASQUERADE_EXTERNAL;
    }
    Range {
        base,
        service: id,
        segment_ends: *segment_ends,
        internal: *internal,
        external_cluster: *external_cluster,
        external_local: *external_local,
        verdicts: verdicts.map(|verdict| verdict as u8),
        flags,
        affinity_s: *affinity_s,
        source_ranges: 0,
    }
}
