//! Where a client's packets cross a hook: by the route back to it, or as told.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, bail};
use netproxy::datapath::{Direction, FlowTable};
use netproxy::node::Way;
use netproxy_common::{AddressFlags, DeviceKind};
use nix::net::if_::if_nametoindex;

use super::super::ends::Asker;
use super::super::report::Outcome;
use super::super::words::errno;
use super::Course;
use super::step::shown;

/// Where ports of clients are looked for: the kernel's default `ip_local_port_range`.
pub(super) const FIRST_PORT: u16 = 32_768;
const PORTS: u64 = 28_232;
const MOST_TRIES: u32 = 64;

/// Where the client's packets cross a hook.
#[derive(Clone, Copy)]
pub(super) struct Entrance {
    pub(super) ifindex: u32,
    pub(super) direction: Direction,
    /// Whether the client is on this node.
    pub(super) is_near: bool,
}

/// Where the client is, or why its packet crosses no hook.
pub(super) enum Place {
    At(Entrance, IpAddr),
    Nowhere(IpAddr, Outcome, String),
}

impl Entrance {
    /// The device by which the stack gets the client's packets: of a bridge's port, the bridge.
    pub(super) fn ifindex_of_stack(self, course: &Course<'_>) -> u32 {
        match course.devices.get(&self.ifindex) {
            Some(device) if device.master != 0 => device.master,
            _ => self.ifindex,
        }
    }
}

impl Course<'_> {
    /// Where the client's packets come by, and with which address.
    pub(super) async fn place(
        &self,
        asker: Asker,
        device: Option<&str>,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Place> {
        let named = device
            .map(|name| {
                if_nametoindex(name).with_context(|| {
                    format!("device {name}: there is none in this network namespace; `ip link` lists them")
                })
            })
            .transpose()?;
        match asker {
            Asker::Address(address, _)
                if !self.view.meaning_of(address)?.has(AddressFlags::NODE) =>
            {
                if address.is_ipv4() != self.destination.is_ipv4() {
                    bail!(
                        "no packet goes from {address} to {}: they are of two IP families",
                        self.destination
                    );
                }
                let entrance = self.at_device(address, named, notes).await?;
                Ok(Place::At(entrance, address))
            }
            Asker::Address(address, _) => self.at_uplink(Some(address), named).await,
            Asker::Host => self.at_uplink(None, named).await,
        }
    }

    async fn at_uplink(&self, own: Option<IpAddr>, named: Option<u32>) -> anyhow::Result<Place> {
        let destination = self.destination.ip();
        let unknown = own.unwrap_or(if destination.is_ipv4() {
            IpAddr::from([0; 4])
        } else {
            IpAddr::from([0_u16; 8])
        });
        Ok(match self.ways.to(destination, own, None).await? {
            Way::Here { source } => Place::Nowhere(
                own.or(source).unwrap_or(unknown),
                Outcome::LeftToSockets,
                "a packet of this node to an address of its own goes over lo, where netproxy has no hook: such \
                 services are balanced at the socket alone"
                    .to_owned(),
            ),
            Way::Nowhere(number) => Place::Nowhere(
                unknown,
                Outcome::Unroutable,
                format!(
                    "the kernel has no route to {destination} for its own packets: {}. Processes that are balanced \
                     at the socket need none; others need a route, of which a default one will do",
                    errno(number)
                ),
            ),
            Way::Device { ifindex, source, .. } => {
                let ifindex = named.unwrap_or(ifindex);
                let address = own.or(source).unwrap_or(unknown);
                if !self.devices.contains_key(&ifindex) {
                    return Ok(Place::Nowhere(
                        address,
                        Outcome::Untouched,
                        format!(
                            "the packet leaves by {}, where netproxy has no program: it passes untouched",
                            shown(ifindex)
                        ),
                    ));
                }
                Place::At(
                    Entrance {
                        ifindex,
                        direction: Direction::Egress,
                        is_near: true,
                    },
                    address,
                )
            }
        })
    }

    /// By the route back, whose device may be a bridge.
    async fn at_device(
        &self,
        address: IpAddr,
        named: Option<u32>,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Entrance> {
        let back = match self.ways.to(address, None, None).await? {
            Way::Device { ifindex, .. } => Some(ifindex),
            Way::Here { .. } | Way::Nowhere(_) => None,
        };
        let ifindex = match (named, back) {
            (Some(named), _) => named,
            (None, Some(back)) => self.port_of(back, address, notes).await?,
            (None, None) => {
                bail!("client {address}: no route leads back to it; name its device with --device")
            }
        };
        let Some(device) = self.devices.get(&ifindex) else {
            let known: Vec<_> = self.devices.keys().map(|ifindex| shown(*ifindex)).collect();
            bail!(
                "device {}: netproxy has no program there; name one of {} with --device",
                shown(ifindex),
                known.join(", ")
            );
        };
        Ok(Entrance {
            ifindex,
            direction: Direction::Ingress,
            is_near: device.kind == DeviceKind::Pod as u8
                && back.is_some_and(|back| back == ifindex || back == device.master),
        })
    }

    /// The device itself, or the port of it, if it is a bridge, that `address` is behind.
    pub(super) async fn port_of(
        &self,
        ifindex: u32,
        address: IpAddr,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<u32> {
        if self.devices.contains_key(&ifindex) {
            return Ok(ifindex);
        }
        let ports = || {
            self.devices
                .iter()
                .filter(|(_, device)| device.master == ifindex)
        };
        let Some((first, _)) = ports().next() else {
            return Ok(ifindex);
        };
        if let Some(port) = self.ways.port_towards(ifindex, address).await?
            && self.devices.contains_key(&port)
        {
            return Ok(port);
        }
        if ports().count() > 1 {
            notes.push(format!(
                "by which port of {} packets of {address} come is not known, as it has sent nothing lately; {} \
                 stands for it",
                shown(ifindex),
                shown(*first)
            ));
        }
        Ok(*first)
    }

    pub(super) fn free_port(&self, flows: &FlowTable, address: IpAddr) -> anyhow::Result<u16> {
        for number in 0..MOST_TRIES {
            let random = RandomState::new().hash_one(number) % PORTS;
            let port = FIRST_PORT.saturating_add(u16::try_from(random).unwrap_or(0));
            let client = SocketAddr::new(address, port);
            if flows
                .find(self.protocol, client, self.destination)?
                .is_none()
            {
                return Ok(port);
            }
        }
        bail!(
            "client {address}: {MOST_TRIES} of its ports have flows to {}; name one",
            self.destination
        )
    }
}
