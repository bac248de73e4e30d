//! `FRONTENDS_*`: which service answers at an address and port.
//!
//! Two services may claim the same external IP and port. The one that came first is served, the
//! others wait and take over when it goes, so that a claim never cuts off somebody else.

use std::net::{IpAddr, SocketAddr};

use aya::maps::MapData;
use netproxy_common::{Be16, Frontend, FrontendKey, FrontendKind, Ipv4, Ipv6};
use rustc_hash::{FxHashMap, FxHashSet};
use tracing::warn;

use super::encode::Encode;
use super::load::Loaded;
use super::{DatapathError, MapFill, batch};
use crate::model::{Family, Protocol};
use crate::plan::{WantedFrontend, WantedPort};

/// One frontend as the maps hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontendEntry {
    /// Its address; None for a NodePort.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// How it came to be.
    pub kind: FrontendKind,
    /// The service that answers.
    pub service: u32,
}

/// Where a frontend stands: its family decides the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) family: Family,
    pub(super) address: Option<IpAddr>,
    port: u16,
    protocol: Protocol,
}

/// A service's wish to answer at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    service: u32,
    pub(super) kind: FrontendKind,
}

/// What has to change in the maps, and therefore in the meaning of addresses.
#[derive(Debug, Default)]
pub(super) struct FrontendChanges {
    /// New owners of places.
    put: Vec<(Place, Claim)>,
    /// Places without an owner.
    removed: Vec<Place>,
    /// What each place has become.
    pub(super) gained: Vec<(Place, FrontendKind)>,
    /// What each place was and is no longer.
    pub(super) lost: Vec<(Place, FrontendKind)>,
}

/// The frontends in the kernel, and who claims them.
#[derive(Debug)]
pub(super) struct Frontends {
    v4: MapData,
    v6: MapData,
    /// The first claim is the one in force.
    claims: FxHashMap<Place, Vec<Claim>>,
    places: FxHashMap<u32, FxHashSet<Place>>,
    /// Places whose entry the kernel refused to write or remove; tried again with every change.
    unwritten: FxHashSet<Place>,
}

impl Frontends {
    /// Reads back what the maps hold.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        let v4 = loaded.take("FRONTENDS_V4")?;
        let v6 = loaded.take("FRONTENDS_V6")?;
        let mut frontends = Self {
            v4,
            v6,
            claims: FxHashMap::default(),
            places: FxHashMap::default(),
            unwritten: FxHashSet::default(),
        };
        let mut found = Vec::new();
        read::<Ipv4>("FRONTENDS_V4", &frontends.v4, Family::V4, |place, claim| {
            found.push((place, claim));
        })?;
        read::<Ipv6>("FRONTENDS_V6", &frontends.v6, Family::V6, |place, claim| {
            found.push((place, claim));
        })?;
        for (place, claim) in found {
            frontends.claims.insert(place, vec![claim]);
            frontends
                .places
                .entry(claim.service)
                .or_default()
                .insert(place);
        }
        Ok(frontends)
    }

    /// The places in force with their kinds.
    pub(super) fn in_force(&self) -> impl Iterator<Item = (&Place, FrontendKind)> {
        self.claims
            .iter()
            .filter_map(|(place, claims)| Some((place, claims.first()?.kind)))
    }

    /// How full the maps are.
    pub(super) fn fills(&self) -> [MapFill; 2] {
        let places = self.claims.keys();
        let v6 = places.filter(|place| place.family == Family::V6).count();
        [
            MapFill::of("FRONTENDS_V4", &self.v4, self.claims.len() - v6),
            MapFill::of("FRONTENDS_V6", &self.v6, v6),
        ]
    }

    /// The service that answers at an address and port, on which NodePorts may answer as well.
    pub(super) fn service_at(
        &self,
        frontend: SocketAddr,
        protocol: Protocol,
        has_node_ports: bool,
    ) -> Option<u32> {
        let family = if frontend.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        let at = |address| {
            self.in_force_at(&Place {
                family,
                address,
                port: frontend.port(),
                protocol,
            })
        };
        let claim = at(Some(frontend.ip()));
        let claim = claim.or_else(|| has_node_ports.then(|| at(None)).flatten());
        claim.map(|claim| claim.service)
    }

    /// Settles who answers where when the `wanted` ports have these frontends and no others, and
    /// the `removed` services none.
    pub(super) fn plan(
        &mut self,
        wanted: &[(u32, &WantedPort)],
        removed: &[u32],
    ) -> FrontendChanges {
        let mut touched = FxHashMap::default();
        for service in removed {
            self.release(*service, &FxHashSet::default(), &mut touched);
        }
        let mut claims = Vec::new();
        for (service, port) in wanted {
            let places: FxHashMap<Place, FrontendKind> = port.places().collect();
            let keep = places.keys().copied().collect();
            self.release(*service, &keep, &mut touched);
            claims.push((*service, *port, places));
        }
        for (service, port, places) in claims {
            for (place, kind) in places {
                self.claim(place, Claim { service, kind }, port, &mut touched);
            }
        }
        let mut changes = FrontendChanges::default();
        for (place, before) in touched {
            let now = self.in_force_at(&place);
            if now.is_none() {
                self.claims.remove(&place);
            }
            if before == now {
                continue;
            }
            self.unwritten.insert(place);
            let (before, now) = (before.map(|claim| claim.kind), now.map(|claim| claim.kind));
            if before != now {
                changes.lost.extend(before.map(|kind| (place, kind)));
                changes.gained.extend(now.map(|kind| (place, kind)));
            }
        }
        for place in &self.unwritten {
            match self.in_force_at(place) {
                Some(claim) => changes.put.push((*place, claim)),
                None => changes.removed.push(*place),
            }
        }
        changes
    }

    /// Writes what `plan` has settled.
    pub(super) fn write(&mut self, changes: &FrontendChanges) -> Result<(), DatapathError> {
        write::<Ipv4>("FRONTENDS_V4", &self.v4, Family::V4, changes)?;
        write::<Ipv6>("FRONTENDS_V6", &self.v6, Family::V6, changes)?;
        self.unwritten.clear();
        Ok(())
    }

    /// The claim in force at a place.
    fn in_force_at(&self, place: &Place) -> Option<Claim> {
        self.claims.get(place)?.first().copied()
    }

    fn claim(
        &mut self,
        place: Place,
        claim: Claim,
        port: &WantedPort,
        touched: &mut FxHashMap<Place, Option<Claim>>,
    ) {
        let claims = self.claims.entry(place).or_default();
        touched
            .entry(place)
            .or_insert_with(|| claims.first().copied());
        if let Some(known) = claims
            .iter_mut()
            .find(|other| other.service == claim.service)
        {
            *known = claim;
        } else {
            if !claims.is_empty() {
                warn!(
                    service = %port.key, address = ?place.address, port = place.port,
                    "another service already answers at this address and port; this one waits \
                     until that is gone"
                );
            }
            claims.push(claim);
        }
        self.places.entry(claim.service).or_default().insert(place);
    }

    fn release(
        &mut self,
        service: u32,
        keep: &FxHashSet<Place>,
        touched: &mut FxHashMap<Place, Option<Claim>>,
    ) {
        let Some(places) = self.places.get_mut(&service) else {
            return;
        };
        places.retain(|place| {
            if keep.contains(place) {
                return true;
            }
            if let Some(claims) = self.claims.get_mut(place) {
                touched
                    .entry(*place)
                    .or_insert_with(|| claims.first().copied());
                claims.retain(|claim| claim.service != service);
            }
            false
        });
        if places.is_empty() {
            self.places.remove(&service);
        }
    }
}

impl WantedPort {
    fn places(&self) -> impl Iterator<Item = (Place, FrontendKind)> {
        self.frontends.iter().map(|frontend| {
            let WantedFrontend {
                address,
                port,
                kind,
            } = *frontend;
            let place = Place {
                family: self.key.family,
                address,
                port,
                protocol: self.key.protocol,
            };
            (place, kind)
        })
    }
}

/// Calls `visit` with every frontend of one family's map.
pub(super) fn read<A: Encode>(
    name: &'static str,
    map: &MapData,
    family: Family,
    mut visit: impl FnMut(Place, Claim),
) -> Result<(), DatapathError>
where
    FrontendKey<A>: bytemuck::Pod,
{
    batch::for_each(map, |key: &FrontendKey<A>, value: &Frontend| {
        let protocol = Protocol::from_number(key.protocol);
        let kind = FrontendKind::from_u8(value.kind);
        if let (Some(protocol), Some(kind)) = (protocol, kind) {
            let address = (key.address != A::UNSPECIFIED).then(|| key.address.to_ip());
            let place = Place {
                family,
                address,
                port: key.port.get(),
                protocol,
            };
            visit(
                place,
                Claim {
                    service: value.service,
                    kind,
                },
            );
        }
    })
    .map_err(DatapathError::map(name, "read"))
}

/// The entry as people see it.
pub(super) fn entry(place: Place, claim: Claim) -> FrontendEntry {
    let Place {
        family: _,
        address,
        port,
        protocol,
    } = place;
    FrontendEntry {
        address,
        port,
        protocol,
        kind: claim.kind,
        service: claim.service,
    }
}

fn write<A: Encode>(
    name: &'static str,
    map: &MapData,
    family: Family,
    changes: &FrontendChanges,
) -> Result<(), DatapathError>
where
    FrontendKey<A>: bytemuck::Pod,
{
    let gone: Vec<_> = changes
        .removed
        .iter()
        .filter(|place| place.family == family)
        .filter_map(key::<A>)
        .collect();
    batch::delete(map, &gone).map_err(DatapathError::map(name, "written"))?;
    let put: Vec<_> = changes
        .put
        .iter()
        .filter(|(place, _)| place.family == family)
        .filter_map(|(place, claim)| {
            let value = Frontend {
                service: claim.service,
                kind: claim.kind as u8,
                pad: [0; 3],
            };
            Some((key::<A>(place)?, value))
        })
        .collect();
    batch::update(map, &put).map_err(DatapathError::refused(name, map, || {
        format!("one of {} new frontends", put.len())
    }))
}

fn key<A: Encode>(place: &Place) -> Option<FrontendKey<A>> {
    let address = match &place.address {
        Some(address) => A::from_ip(address)?,
        None => A::UNSPECIFIED,
    };
    Some(FrontendKey {
        address,
        port: Be16::new(place.port),
        protocol: place.protocol.number(),
        pad: 0,
    })
}
