//! `SOURCE_RANGES_*`: the sets of networks that may reach load-balancer VIPs.
//!
//! Services with the same ranges share a set. A set is written before a range header names it, and
//! removed a grace period after the last header that did is gone; until then its number is not
//! given to another.

mod sets;

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::MapData;
use bytemuck::{Pod, Zeroable};
use ipnet::IpNet;
use netproxy_common::source_range::SET_BITS;
use netproxy_common::{Ipv4, Ipv6, SourceRange};

use self::sets::{Acquired, Sets};
use super::encode::Encode;
use super::load::Loaded;
use super::{DatapathError, MapFill, batch};
use crate::plan::PortKey;

/// The key of a longest-prefix trie (`struct bpf_lpm_trie_key` of uapi/linux/bpf.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct TrieKey<A> {
    prefix_bits: u32,
    range: SourceRange<A>,
}

const _: () = assert!(size_of::<TrieKey<Ipv4>>() == 4 + size_of::<SourceRange<Ipv4>>());
const _: () = assert!(size_of::<TrieKey<Ipv6>>() == 4 + size_of::<SourceRange<Ipv6>>());
// SAFETY: `repr(C)` of plain data without padding, as just asserted for both families.
unsafe impl<A: Encode> Zeroable for TrieKey<A> {}
// SAFETY: as above.
unsafe impl<A: Encode> Pod for TrieKey<A> {}

/// Values say nothing.
const VALUE: u32 = 1;

/// The sets of one family in the kernel.
#[derive(Debug)]
pub(super) struct SourceRanges<A> {
    name: &'static str,
    map: MapData,
    sets: Sets,
    family: std::marker::PhantomData<A>,
}

impl<A: Encode> SourceRanges<A> {
    /// Reads back what the map holds; `named` are the sets that range headers name, once each.
    pub(super) fn adopt(
        loaded: &mut Loaded,
        name: &'static str,
        named: impl IntoIterator<Item = u32>,
    ) -> Result<Self, DatapathError> {
        let map = loaded.take(name)?;
        let sets = Sets::new(read::<A>(name, &map)?, named);
        Ok(Self {
            name,
            map,
            sets,
            family: std::marker::PhantomData,
        })
    }

    /// How full the map is.
    pub(super) fn fill(&self) -> MapFill {
        let ranges = self.sets.ranges().values().map(Vec::len).sum();
        MapFill::of(self.name, &self.map, ranges)
    }

    /// The number of the set of these ranges, written if there is none; zero for no ranges. Each
    /// call is to be followed by one of [`Self::release`].
    pub(super) fn acquire(
        &mut self,
        ranges: &[IpNet],
        port: &PortKey,
    ) -> Result<u32, DatapathError> {
        match self.sets.acquire(ranges) {
            Acquired::Known(number) => Ok(number),
            Acquired::New(number) => {
                let written = self.write(&keys(number, ranges), port);
                if written.is_err() {
                    // What fitted goes at once: nothing names it yet.
                    self.sets.release(number);
                    self.remove(number, ranges)?;
                }
                written.map(|()| number)
            }
        }
    }

    /// One user less of the set.
    pub(super) fn release(&mut self, number: u32) {
        self.sets.release(number);
    }

    /// Whether sets wait for a grace period.
    pub(super) fn has_retired(&self) -> bool {
        self.sets.has_retired()
    }

    /// Removes the sets without users. A grace period has passed since they lost the last.
    pub(super) fn recycle(&mut self) -> Result<(), DatapathError> {
        for (number, ranges) in self.sets.retired() {
            self.remove(number, &ranges)?;
        }
        Ok(())
    }

    fn remove(&mut self, number: u32, ranges: &[IpNet]) -> Result<(), DatapathError> {
        self.delete(&keys::<A>(number, ranges))?;
        self.sets.forget(number);
        Ok(())
    }

    /// Makes the map hold what it should; yields how many entries were missing or too many.
    pub(super) fn repair(&mut self) -> Result<usize, DatapathError> {
        let held = entries(&read::<A>(self.name, &self.map)?);
        let wanted = entries(self.sets.ranges());
        let missing: Vec<_> = wanted.difference(&held).filter_map(key::<A>).collect();
        let extra: Vec<_> = held.difference(&wanted).filter_map(key::<A>).collect();
        self.delete(&extra)?;
        batch::update(&self.map, &with_values(&missing))
            .map_err(DatapathError::map(self.name, "written"))?;
        Ok(missing.len() + extra.len())
    }

    fn write(&self, keys: &[TrieKey<A>], port: &PortKey) -> Result<(), DatapathError> {
        batch::update(&self.map, &with_values(keys)).map_err(DatapathError::refused(
            self.name,
            &self.map,
            || port.to_string(),
        ))
    }

    fn delete(&self, keys: &[TrieKey<A>]) -> Result<(), DatapathError> {
        batch::delete(&self.map, keys).map_err(DatapathError::map(self.name, "written"))
    }
}

/// Every set of one family's map.
pub(super) fn read<A: Encode>(
    name: &'static str,
    map: &MapData,
) -> Result<BTreeMap<u32, Vec<IpNet>>, DatapathError> {
    let mut sets: BTreeMap<u32, Vec<IpNet>> = BTreeMap::new();
    batch::for_each(map, |key: &TrieKey<A>, _: &u32| {
        let TrieKey { prefix_bits, range } = *key;
        let prefix = prefix_bits
            .checked_sub(SET_BITS)
            .and_then(|bits| u8::try_from(bits).ok());
        let network = prefix.and_then(|bits| IpNet::new(range.address.to_ip(), bits).ok());
        if let Some(network) = network {
            sets.entry(range.set).or_default().push(network);
        }
    })
    .map_err(DatapathError::map(name, "read"))?;
    for ranges in sets.values_mut() {
        ranges.sort_unstable();
    }
    Ok(sets)
}

fn entries(sets: &BTreeMap<u32, Vec<IpNet>>) -> BTreeSet<(u32, IpNet)> {
    sets.iter()
        .flat_map(|(number, ranges)| ranges.iter().map(|range| (*number, *range)))
        .collect()
}

fn keys<A: Encode>(number: u32, ranges: &[IpNet]) -> Vec<TrieKey<A>> {
    let keys = ranges.iter().filter_map(|range| key(&(number, *range)));
    keys.collect()
}

fn key<A: Encode>((set, range): &(u32, IpNet)) -> Option<TrieKey<A>> {
    Some(TrieKey {
        prefix_bits: SET_BITS + u32::from(range.prefix_len()),
        range: SourceRange {
            set: *set,
            address: A::from_ip(&range.network())?,
        },
    })
}

fn with_values<A: Encode>(keys: &[TrieKey<A>]) -> Vec<(TrieKey<A>, u32)> {
    keys.iter().map(|key| (*key, VALUE)).collect()
}
