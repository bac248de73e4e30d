//! `ADDRESSES_*`: what an address means to this node, the first lookup of every packet to a prefix that is held.
//!
//! An address gains a meaning after its frontends are written and loses it before they go. It
//! lingers for as long as flows to it live: without a meaning their packets would not be looked at.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aya::maps::MapData;
use ipnet::IpNet;
use netproxy_common::{AddressFlags, FrontendKind, Ipv4, Ipv6};
use rustc_hash::{FxHashMap, FxHashSet};

use super::encode::Encode;
use super::frontends::{FrontendChanges, Frontends};
use super::load::Loaded;
use super::prefixes::Prefixes;
use super::{DatapathError, MapFill, batch};

/// What is known of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Meaning {
    /// Frontends for which it is a cluster IP.
    cluster_ips: u32,
    /// Frontends for which it is a VIP or an external IP.
    vips: u32,
    is_own: bool,
    has_node_ports: bool,
    /// Whether flows may still go here although it is no frontend's.
    lingers: bool,
    /// What the map holds.
    written: u32,
}

impl Meaning {
    fn bits(self) -> u32 {
        let Self {
            cluster_ips,
            vips,
            is_own,
            has_node_ports,
            lingers,
            written: _,
        } = self;
        let mut bits = 0;
        if cluster_ips > 0 {
            bits |= AddressFlags::CLUSTER_IP;
        }
        if vips > 0 {
            bits |= AddressFlags::VIP;
        }
        if is_own {
            bits |= AddressFlags::NODE;
        }
        if has_node_ports {
            bits |= AddressFlags::NODE_PORTS;
        }
        if cluster_ips > 0 && is_own {
            bits |= AddressFlags::LEFT_ALONE;
        }
        if lingers && cluster_ips == 0 && vips == 0 {
            bits |= AddressFlags::LINGERING;
        }
        bits
    }

    fn count(&mut self, kind: FrontendKind) -> &mut u32 {
        match kind {
            FrontendKind::ClusterIp => &mut self.cluster_ips,
            FrontendKind::LoadBalancer | FrontendKind::ExternalIp | FrontendKind::NodePort => {
                &mut self.vips
            }
        }
    }
}

/// The addresses in the kernel.
#[derive(Debug)]
pub(super) struct Addresses {
    v4: MapData,
    v6: MapData,
    prefixes: Prefixes,
    known: FxHashMap<IpAddr, Meaning>,
    /// Addresses that the kernel refused to write; tried again with every announcement.
    unwritten: FxHashSet<IpAddr>,
}

impl Addresses {
    /// Reads back what the maps hold; the meanings come from the frontends adopted before. What
    /// a node address means is in force until [`Self::set_node`] says otherwise.
    pub(super) fn adopt(loaded: &mut Loaded, frontends: &Frontends) -> Result<Self, DatapathError> {
        let v4 = loaded.take("ADDRESSES_V4")?;
        let v6 = loaded.take("ADDRESSES_V6")?;
        let mut known: FxHashMap<IpAddr, Meaning> = FxHashMap::default();
        read::<Ipv4>("ADDRESSES_V4", &v4, &mut known)?;
        read::<Ipv6>("ADDRESSES_V6", &v6, &mut known)?;
        for meaning in known.values_mut() {
            let written = AddressFlags {
                bits: meaning.written,
            };
            meaning.is_own = written.has(AddressFlags::NODE);
            meaning.has_node_ports = written.has(AddressFlags::NODE_PORTS);
            meaning.lingers = written.has(AddressFlags::LINGERING);
        }
        for (place, kind) in frontends.in_force() {
            if let Some(address) = place.address {
                *known.entry(address).or_default().count(kind) += 1;
            }
        }
        let mut prefixes = Prefixes::adopt(loaded)?;
        prefixes.hold_addresses(known.keys())?;
        Ok(Self {
            v4,
            v6,
            prefixes,
            known,
            unwritten: FxHashSet::default(),
        })
    }

    /// How full the maps are.
    pub(super) fn fills(&self) -> [MapFill; 2] {
        let held = self.known.iter().filter(|(_, known)| known.written != 0);
        let held: Vec<_> = held.map(|(address, _)| address).collect();
        let v6 = held.iter().filter(|address| address.is_ipv6()).count();
        [
            MapFill::of("ADDRESSES_V4", &self.v4, held.len() - v6),
            MapFill::of("ADDRESSES_V6", &self.v6, v6),
        ]
    }

    /// Takes meanings away: to be called before the frontends go.
    pub(super) fn withdraw(&mut self, changes: &FrontendChanges) -> Result<(), DatapathError> {
        // Gains are counted here as well, so that an address that keeps a frontend keeps its
        // meaning; they are announced once the frontends stand.
        for (place, kind) in &changes.gained {
            if let Some(address) = place.address {
                *self.known.entry(address).or_default().count(*kind) += 1;
            }
        }
        let mut touched = FxHashSet::default();
        for (place, kind) in &changes.lost {
            if let Some(address) = place.address {
                let meaning = self.known.entry(address).or_default();
                let count = meaning.count(*kind);
                *count = count.saturating_sub(1);
                meaning.lingers = true;
                touched.insert(address);
            }
        }
        touched.retain(|address| {
            self.known
                .get(address)
                .is_some_and(|meaning| meaning.written & !meaning.bits() != 0)
        });
        let touched: Vec<_> = touched.into_iter().collect();
        self.write(&touched)
    }

    /// Gives meanings: to be called after the frontends stand.
    pub(super) fn announce(&mut self, changes: &FrontendChanges) -> Result<(), DatapathError> {
        let mut addresses = std::mem::take(&mut self.unwritten);
        addresses.extend(changes.gained.iter().filter_map(|(place, _)| place.address));
        let addresses: Vec<_> = addresses.into_iter().collect();
        self.write(&addresses)
    }

    /// Whether NodePorts answer on an address.
    pub(super) fn has_node_ports(&self, address: IpAddr) -> bool {
        let meaning = self.known.get(&address);
        meaning.is_some_and(|meaning| meaning.has_node_ports)
    }

    /// Whether any address lingers.
    pub(super) fn linger(&self) -> bool {
        self.known.values().any(|meaning| meaning.lingers)
    }

    /// Lets go of what lingers, but for `frontends`, to which flows still go.
    pub(super) fn forget_but(
        &mut self,
        frontends: &FxHashSet<IpAddr>,
    ) -> Result<(), DatapathError> {
        let mut touched = Vec::new();
        for (address, meaning) in &mut self.known {
            if meaning.lingers && !frontends.contains(address) {
                meaning.lingers = false;
                touched.push(*address);
            }
        }
        self.write(&touched)
    }

    /// Takes note of this node's addresses, and of those on which NodePorts answer.
    pub(super) fn set_node(
        &mut self,
        own: &BTreeSet<IpAddr>,
        node_ports: &BTreeSet<IpAddr>,
    ) -> Result<(), DatapathError> {
        for address in own.iter().chain(node_ports) {
            self.known.entry(*address).or_default();
        }
        let mut touched = Vec::new();
        for (address, meaning) in &mut self.known {
            meaning.is_own = own.contains(address);
            meaning.has_node_ports = node_ports.contains(address);
            if meaning.bits() != meaning.written {
                touched.push(*address);
            }
        }
        self.write(&touched)
    }

    /// Has packets to these networks looked at, whatever an address there means.
    pub(super) fn look_at(
        &mut self,
        networks: impl IntoIterator<Item = IpNet>,
    ) -> Result<(), DatapathError> {
        self.prefixes.hold(networks)
    }

    fn write(&mut self, addresses: &[IpAddr]) -> Result<(), DatapathError> {
        let outcome = self
            .prefixes
            .hold_addresses(addresses)
            .and_then(|()| write::<Ipv4>("ADDRESSES_V4", &self.v4, addresses, &self.known))
            .and_then(|()| write::<Ipv6>("ADDRESSES_V6", &self.v6, addresses, &self.known));
        if outcome.is_err() {
            self.unwritten.extend(addresses);
            return outcome;
        }
        for address in addresses {
            if let Some(meaning) = self.known.get_mut(address) {
                meaning.written = meaning.bits();
                if meaning.written == 0 {
                    self.known.remove(address);
                }
            }
        }
        Ok(())
    }
}

fn read<A: Encode>(
    name: &'static str,
    map: &MapData,
    known: &mut FxHashMap<IpAddr, Meaning>,
) -> Result<(), DatapathError> {
    batch::for_each(map, |address: &A, flags: &AddressFlags| {
        known.entry(address.to_ip()).or_default().written = flags.bits;
    })
    .map_err(DatapathError::map(name, "read"))
}

fn write<A: Encode>(
    name: &'static str,
    map: &MapData,
    addresses: &[IpAddr],
    known: &FxHashMap<IpAddr, Meaning>,
) -> Result<(), DatapathError> {
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    for address in addresses {
        let Some(key) = A::from_ip(address) else {
            continue;
        };
        let bits = known.get(address).map_or(0, |meaning| meaning.bits());
        if bits == 0 {
            gone.push(key);
        } else {
            put.push((key, AddressFlags { bits }));
        }
    }
    batch::update(map, &put).map_err(DatapathError::refused(name, map, || {
        format!("one of {} addresses", put.len())
    }))?;
    batch::delete(map, &gone).map_err(DatapathError::map(name, "written"))
}
