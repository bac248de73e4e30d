//! Looking at pinned maps without changing anything: for tools, with or without an agent.

mod lookup;

use std::collections::BTreeMap;

use ipnet::IpNet;
use netproxy_common::{
    Counter, Device, Endpoint, EventKind, Ipv4, Ipv6, Name, Range, Service, Traffic,
};

use super::encode::Encode;
use super::entry::{EndpointEntry, ServiceEntry};
use super::frontends::{self, FrontendEntry};
use super::header;
use super::mapped::Mapped;
use super::traffic::Carried;
use super::{
    Counters, DatapathError, Events, FlowTable, MapFill, Pins, batch, drops, names, source_ranges,
};
use crate::model::Family;
use crate::plan::PortKey;

/// A read-only view of a datapath.
#[derive(Debug)]
pub struct View {
    pins: Pins,
    words: Mapped<Service>,
    headers: Mapped<Range>,
    v4: Mapped<Endpoint<Ipv4>>,
    v6: Mapped<Endpoint<Ipv6>>,
}

impl View {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// [`DatapathError::Absent`] where nothing is pinned.
    pub fn open(pins: &Pins) -> Result<Self, DatapathError> {
        if !pins.are_present()? {
            return Err(DatapathError::Absent {
                path: pins.directory().to_owned(),
            });
        }
        pins.check_layouts()?;
        Ok(Self {
            words: Mapped::new("SERVICES", pins.open("SERVICES")?, false)?,
            headers: Mapped::new("RANGES", pins.open("RANGES")?, false)?,
            v4: Mapped::new("ENDPOINTS_V4", pins.open("ENDPOINTS_V4")?, false)?,
            v6: Mapped::new("ENDPOINTS_V6", pins.open("ENDPOINTS_V6")?, false)?,
            pins: pins.clone(),
        })
    }

    /// How full the flow table's maps are.
    pub fn flow_fills(&self) -> Result<Vec<MapFill>, DatapathError> {
        FlowTable::open(&self.pins)?.fills()
    }

    /// Every service port by id.
    pub fn services(&self) -> Result<BTreeMap<u32, ServiceEntry>, DatapathError> {
        let mut entries = BTreeMap::new();
        batch::for_each(&self.pins.open("NAMES")?, |id: &u32, name: &Name| {
            let Some(key) = names::decode(name) else {
                return;
            };
            let Some((_, range)) = header::live_range(&self.words, &self.headers, *id) else {
                return;
            };
            let generation = self.words.get(*id).map_or(0, |word| word.generation);
            entries.insert(
                *id,
                ServiceEntry {
                    id: *id,
                    key,
                    generation,
                    range,
                },
            );
        })
        .map_err(DatapathError::map("NAMES", "read"))?;
        Ok(entries)
    }

    /// The endpoints of a service port, segment after segment.
    #[must_use]
    pub fn endpoints(&self, service: &ServiceEntry) -> Vec<EndpointEntry> {
        if header::is_v6(&service.range) {
            endpoints(&self.v6, &service.range)
        } else {
            endpoints(&self.v4, &service.range)
        }
    }

    /// Every frontend.
    pub fn frontends(&self) -> Result<Vec<FrontendEntry>, DatapathError> {
        let mut entries = Vec::new();
        let v4 = self.pins.open("FRONTENDS_V4")?;
        frontends::read::<Ipv4>("FRONTENDS_V4", &v4, Family::V4, |place, claim| {
            entries.push(frontends::entry(place, claim));
        })?;
        let v6 = self.pins.open("FRONTENDS_V6")?;
        frontends::read::<Ipv6>("FRONTENDS_V6", &v6, Family::V6, |place, claim| {
            entries.push(frontends::entry(place, claim));
        })?;
        entries.sort_by_key(|entry| (entry.service, entry.kind, entry.address, entry.port));
        Ok(entries)
    }

    /// The networks that may reach load-balancer VIPs, by family and number of the set.
    pub fn source_ranges(&self) -> Result<BTreeMap<(Family, u32), Vec<IpNet>>, DatapathError> {
        let v4 = self.pins.open("SOURCE_RANGES_V4")?;
        let v4 = source_ranges::read::<Ipv4>("SOURCE_RANGES_V4", &v4)?;
        let v6 = self.pins.open("SOURCE_RANGES_V6")?;
        let v6 = source_ranges::read::<Ipv6>("SOURCE_RANGES_V6", &v6)?;
        let of = |family: Family| move |(set, ranges)| ((family, set), ranges);
        let sets = v4.into_iter().map(of(Family::V4));
        Ok(sets.chain(v6.into_iter().map(of(Family::V6))).collect())
    }

    /// The flow table.
    pub fn flows(&self) -> Result<FlowTable, DatapathError> {
        FlowTable::open(&self.pins)
    }

    /// The counters.
    pub fn counters(&self) -> Result<Counters, DatapathError> {
        Counters::open(&self.pins)
    }

    /// The packets that were dropped, and the sockets that were refused, by the service's id and the
    /// reason; of the least common ones the kernel may have forgotten the count.
    pub fn drops(&self) -> Result<BTreeMap<(u32, Counter), u64>, DatapathError> {
        drops::read(&self.pins.open(drops::MAP)?)
    }

    /// What services of these ids have carried; under zero, those for whose ids there is no room.
    pub fn traffic(
        &self,
        ids: impl IntoIterator<Item = u32>,
    ) -> Result<BTreeMap<u32, Traffic>, DatapathError> {
        Carried::open(&self.pins)?.read(ids)
    }

    /// The service port of this id; None: there is none any more.
    pub fn service_port(&self, id: u32) -> Result<Option<PortKey>, DatapathError> {
        let name: Option<Name> = batch::look_up(&self.pins.open("NAMES")?, &id)
            .map_err(DatapathError::map("NAMES", "read"))?;
        Ok(name.as_ref().and_then(names::decode))
    }

    /// Listens to events of these kinds, from now on.
    ///
    /// # Errors
    /// [`DatapathError::HasListener`]: somebody else does, and there is one at a time.
    pub fn listen(&self, kinds: &[EventKind]) -> Result<Events, DatapathError> {
        Events::listen(&self.pins, kinds)
    }

    /// The devices by ifindex.
    pub fn devices(&self) -> Result<BTreeMap<u32, Device>, DatapathError> {
        let mut devices = BTreeMap::new();
        batch::for_each(
            &self.pins.open("DEVICES")?,
            |ifindex: &u32, device: &Device| {
                devices.insert(*ifindex, *device);
            },
        )
        .map_err(DatapathError::map("DEVICES", "read"))?;
        Ok(devices)
    }
}

fn endpoints<A: Encode>(array: &Mapped<Endpoint<A>>, range: &Range) -> Vec<EndpointEntry>
where
    Endpoint<A>: bytemuck::Pod,
{
    (0..header::length(range))
        .filter_map(|offset| {
            let endpoint = array.get(range.base.checked_add(offset)?)?;
            Some(EndpointEntry {
                address: endpoint.address.to_ip(),
                port: endpoint.port.get(),
                is_local: endpoint.flags & netproxy_common::EndpointFlags::LOCAL != 0,
                segment: range.segment_ends.iter().position(|end| offset < *end)?,
            })
        })
        .collect()
}
