//! Draining: no flow begins any more, those there are go on until they end. What this node served is then
//! left to whoever else serves it: no packet is refused or dropped for want of a service.
//!
//! It works on the pinned maps alone. Addresses keep a meaning, or the packets of their flows would not be
//! looked at; an agent that adopts the maps serves again.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use netproxy_common::{AddressFlags, FlowKind, FlowState, Frontend, FrontendKey, Ipv4, Ipv6};

use super::encode::Encode;
use super::flow_expiry::Expiry;
use super::networks::Networks;
use super::{DatapathError, FlowEntry, FlowTable, Pins, batch};
use crate::netfilter::{Departure, Reservations};

/// How long after its end a connection is waited for, as segments of it may still be on their way.
const STRAY_S: u32 = 5;
/// How long a datagram that was sent straight to an endpoint may take to be answered.
const ANSWER: Duration = Duration::from_secs(1);

/// A datapath that serves nothing new.
#[derive(Debug)]
pub struct Drain {
    pins: Pins,
    flows: FlowTable,
    /// Source ports of the flows that are left.
    ports: Reservations,
}

impl Drain {
    /// Opens the datapath that is pinned, and changes nothing; None: none is.
    pub fn open(pins: &Pins) -> Result<Option<Self>, DatapathError> {
        if !pins.are_present()? {
            return Ok(None);
        }
        pins.check_layouts()?;
        Ok(Some(Self {
            pins: pins.clone(),
            flows: FlowTable::open(pins)?,
            ports: Reservations::default(),
        }))
    }

    /// Takes every frontend out of it.
    pub fn begin(&self) -> Result<(), DatapathError> {
        let pins = &self.pins;
        // First what drops, then what leads to frontends, then the frontends.
        Networks::open(pins, ["SERVICE_CIDRS_V4", "SERVICE_CIDRS_V6"])?.set(&[])?;
        let addresses = ["ADDRESSES_V4", "ADDRESSES_V6"];
        withdraw_addresses::<Ipv4>(pins, addresses[0])?;
        withdraw_addresses::<Ipv6>(pins, addresses[1])?;
        withdraw_frontends::<Ipv4>(pins, "FRONTENDS_V4")?;
        withdraw_frontends::<Ipv6>(pins, "FRONTENDS_V6")
    }

    /// The flows that have not ended; those of another proxy do not need us.
    pub fn flows_left(&self) -> Result<Vec<FlowEntry>, DatapathError> {
        Expiry::default().go_on(&self.flows, Duration::MAX)?;
        let mut flows = self.flows.list()?;
        flows.retain(|flow| {
            let is_over = flow.state == FlowState::Closing
                && flow.expires_s + STRAY_S < FlowState::Closing.lifetime_s(flow.protocol.number());
            !is_over && flow.kind != FlowKind::Foreign
        });
        Ok(flows)
    }

    /// Keeps the source ports of these flows from netfilter, which does not see them and would give them to
    /// connections of another proxy; and those of no others.
    pub fn keep_ports(&mut self, flows: &[FlowEntry]) -> io::Result<()> {
        let pass_netfilter = flows
            .iter()
            .filter(|flow| matches!(flow.kind, FlowKind::Whole | FlowKind::Host));
        self.ports.keep(pass_netfilter.map(|flow| Departure {
            protocol: flow.protocol,
            source: flow.source,
            endpoint: flow.endpoint,
        }))
    }

    /// Has sockets ask packet by packet, and waits for the answers to what they have sent straight to
    /// endpoints: they are told apart by the programs that are left.
    pub fn let_sockets_go(&self) -> Result<(), DatapathError> {
        let mut had_any = false;
        for name in ["connect4", "connect6", "sendmsg4", "sendmsg6"] {
            let pin = self.pins.sockets().join(name);
            match fs::remove_file(&pin) {
                Ok(()) => had_any = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(DatapathError::file(pin, "cannot be removed")(error)),
            }
        }
        if had_any {
            sleep(ANSWER);
        }
        Ok(())
    }
}

/// Makes every address one that only flows may go to.
fn withdraw_addresses<A: Encode>(pins: &Pins, name: &'static str) -> Result<(), DatapathError> {
    let map = pins.open(name)?;
    let mut entries = Vec::new();
    batch::for_each(&map, |address: &A, flags: &AddressFlags| {
        let kept = AddressFlags::NODE | AddressFlags::LEFT_ALONE;
        let bits = flags.bits & kept | AddressFlags::LINGERING;
        entries.push((*address, AddressFlags { bits }));
    })
    .map_err(DatapathError::map(name, "read"))?;
    batch::update(&map, &entries).map_err(DatapathError::map(name, "written"))
}

fn withdraw_frontends<A: Encode>(pins: &Pins, name: &'static str) -> Result<(), DatapathError>
where
    FrontendKey<A>: bytemuck::Pod,
{
    let map = pins.open(name)?;
    let mut keys = Vec::new();
    batch::for_each(&map, |key: &FrontendKey<A>, _: &Frontend| keys.push(*key))
        .map_err(DatapathError::map(name, "read"))?;
    batch::delete(&map, &keys).map_err(DatapathError::map(name, "written"))
}
