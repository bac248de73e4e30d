//! Flows that another proxy began, and that netfilter goes on translating: noted in the flow table, so that
//! their packets are left alone, their endpoint stays theirs, and so does the tuple in which it answers.
//!
//! A connection is recognised by what it is not, a beginning: only its answers are noted. Without that, a source
//! port of ours could be the one that netfilter has given it.
//!
//! Netfilter's table is the record. What it has forgotten is forgotten here, or the flow's next datagram
//! would be translated by nobody.

use std::net::SocketAddr;

use netproxy_common::flow::FlowFlags;
use netproxy_common::{Be16, Flow, FlowKey, FlowKind, FlowState, Ipv4, Ipv6};
use rustc_hash::FxHashMap;

use super::encode::Encode;
use super::flow_table::{FlowTable, Tiers, now_s};
use super::{Datapath, DatapathError, batch};
use crate::model::Protocol;
use crate::netfilter::Translated;

/// A flow of another proxy, and the service of ours that would serve it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeignFlow {
    pub(super) translated: Translated,
    /// Zero: none, which is for connections only.
    pub(super) service: u32,
    /// The generation at which its endpoint is known to serve.
    pub(super) generation: u32,
}

impl Datapath {
    /// Whether another proxy's connection is to a frontend of ours.
    pub(crate) fn is_served(&self, connection: &Translated) -> bool {
        self.service_of(connection).is_some()
    }

    /// Whether any flow is left to another proxy.
    pub fn has_foreign_flows(&self) -> Result<bool, DatapathError> {
        self.flows.has_foreign()
    }

    /// Leaves these flows to the other proxy, of those of datagrams only to frontends of ours, and no others;
    /// new ones of datagrams only if they `are_new`. Yields how many.
    pub(crate) fn note_foreign_flows(
        &mut self,
        flows: &[Translated],
        are_new: bool,
    ) -> Result<usize, DatapathError> {
        let wanted = flows.iter().filter_map(|flow| {
            let service = match (self.service_of(flow), flow.protocol) {
                (None, Protocol::Udp) => return None,
                (service, _) => service.unwrap_or(0),
            };
            Some(ForeignFlow {
                translated: *flow,
                service,
                // Its endpoint may be one that no longer serves: the next datagram finds out.
                generation: self.services.generation(service).wrapping_sub(1),
            })
        });
        let wanted: Vec<_> = wanted.collect();
        self.flows.set_foreign(&wanted, are_new)
    }

    /// The service of ours whose frontend another proxy's connection is to.
    fn service_of(&self, connection: &Translated) -> Option<u32> {
        let Translated {
            frontend, protocol, ..
        } = *connection;
        let has_node_ports = self.addresses.has_node_ports(frontend.ip());
        self.frontends
            .service_at(frontend, protocol, has_node_ports)
    }
}

type Halves<A> = FxHashMap<FlowKey<A>, Flow<A>>;

impl FlowTable {
    /// Notes these flows; yields how many there are. If they `are_new`, others may be noted meanwhile; else
    /// others are forgotten, and so stay flows of datagrams that are not noted: their endpoint no longer
    /// serves. A flow of our own stays ours.
    pub(super) fn set_foreign(
        &self,
        wanted: &[ForeignFlow],
        are_new: bool,
    ) -> Result<usize, DatapathError> {
        Ok(self.v4.set_foreign::<Ipv4>(wanted, are_new)?
            + self.v6.set_foreign::<Ipv6>(wanted, are_new)?)
    }

    /// Whether any is noted.
    pub(super) fn has_foreign(&self) -> Result<bool, DatapathError> {
        Ok(self.v4.has_foreign::<Ipv4>()? || self.v6.has_foreign::<Ipv6>()?)
    }
}

impl Tiers {
    fn has_foreign<A: Encode>(&self) -> Result<bool, DatapathError>
    where
        FlowKey<A>: bytemuck::Pod,
        Flow<A>: bytemuck::Pod,
    {
        let mut is_any = false;
        for tier in [&self.assured, &self.pending] {
            tier.for_each(|_: &FlowKey<A>, flow: &Flow<A>| is_any |= is_foreign(flow))?;
        }
        Ok(is_any)
    }

    fn set_foreign<A: Encode>(
        &self,
        wanted: &[ForeignFlow],
        are_new: bool,
    ) -> Result<usize, DatapathError>
    where
        FlowKey<A>: bytemuck::Pod,
        Flow<A>: bytemuck::Pod,
    {
        let mut known: [Halves<A>; 2] = Default::default();
        let mut own: Halves<A> = Halves::default();
        for (tier, known) in [&self.assured, &self.pending].into_iter().zip(&mut known) {
            tier.for_each(|key: &FlowKey<A>, flow: &Flow<A>| {
                if is_foreign(flow) {
                    &mut *known
                } else {
                    &mut own
                }
                .insert(*key, *flow);
            })?;
        }
        let mut put = Vec::new();
        let mut count = 0;
        for flow in wanted {
            let Some(halves) = halves::<A>(flow) else {
                continue;
            };
            let key = &halves[0].0;
            let noted = known.iter().find_map(|known| known.get(key).copied());
            let may_begin = are_new || (is_connection(flow) && flow.service != 0);
            if (noted.is_none() && !may_begin)
                || halves.iter().any(|(key, _)| own.contains_key(key))
            {
                continue;
            }
            count += 1;
            for (key, mut half) in halves {
                // The programs may have found out more about the same endpoint.
                if let Some(noted) = noted.filter(|it| it.destination == half.destination) {
                    (half.service, half.generation) = (noted.service, noted.generation);
                }
                known[0].remove(&key);
                put.push((key, half));
            }
        }
        let failed = DatapathError::refused(self.assured.name, &self.assured.map, || {
            format!("one of {count} flows that another proxy began")
        });
        batch::update(&self.assured.map, &put).map_err(failed)?;
        if are_new {
            // The programs note what has begun since netfilter was asked.
            return Ok(count);
        }
        for (tier, known) in [&self.assured, &self.pending].into_iter().zip(known) {
            let gone: Vec<_> = known.into_keys().collect();
            batch::delete(&tier.map, &gone).map_err(DatapathError::map(tier.name, "written"))?;
        }
        Ok(count)
    }
}

fn is_foreign<A>(flow: &Flow<A>) -> bool {
    flow.kind == FlowKind::Foreign as u8
}

fn is_connection(flow: &ForeignFlow) -> bool {
    flow.translated.protocol != Protocol::Udp
}

/// The two halves of a flow of datagrams, and the entry that shows it to sockets; of a connection that lasts, the
/// half of its answers.
fn halves<A: Encode>(flow: &ForeignFlow) -> Option<Vec<(FlowKey<A>, Flow<A>)>> {
    let Translated {
        protocol,
        client,
        frontend,
        endpoint,
        source,
        is_assured,
        timeout_s,
    } = flow.translated;
    let address = |of: SocketAddr| A::from_ip(&of.ip());
    let key = FlowKey {
        source: address(client)?,
        destination: address(frontend)?,
        source_port: Be16::new(client.port()),
        destination_port: Be16::new(frontend.port()),
        protocol: protocol.number(),
        pad: [0; 3],
    };
    let state = if is_assured {
        FlowState::Established
    } else {
        FlowState::Opening
    };
    let forward = Flow {
        source: address(source)?,
        destination: address(endpoint)?,
        source_port: Be16::new(source.port()),
        destination_port: Be16::new(endpoint.port()),
        kind: FlowKind::Foreign as u8,
        flags: FlowFlags::SEEN,
        state: state as u8,
        pad: [0; _],
        service: flow.service,
        generation: flow.generation,
        deadline_s: now_s() + timeout_s,
        client_ifindex: 0,
    };
    let mut reply = forward;
    reply.turn_to_partner(&key);
    let answers = (forward.partner_key(&key), reply);
    if is_connection(flow) {
        return is_assured.then(|| vec![answers]);
    }
    let to_sockets = FlowKey {
        source: A::UNSPECIFIED,
        ..key
    };
    Some(vec![(key, forward), answers, (to_sockets, forward)])
}
