//! The course of a packet: through the programs, and between them as the kernel's routes have it.

mod entrance;
mod step;
mod way_back;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use netproxy::datapath::{
    Action, Direction, FlowEntry, FlowTable, Footprint, Hook, Pins, Ran, ServiceEntry, View,
};
use netproxy::model::Protocol;
use netproxy::node::Ways;
use netproxy_common::{AddressFlags, Counter, Device, FlowKind};

use self::entrance::{Entrance, Place};
use self::step::{kind, refusal, shown, source, step};
use self::way_back::Leg;
use super::ends::Asker;
use super::packet::{self, Part};
use super::report::{Endpoint, Ends, Outcome, Report, Step, Verdict, Which};
use super::words::Meaning;
use crate::cli::service_name;

/// What is needed to follow a packet.
pub(super) struct Course<'a> {
    pub(super) pins: &'a Pins,
    pub(super) view: &'a View,
    pub(super) services: &'a BTreeMap<u32, ServiceEntry>,
    pub(super) devices: BTreeMap<u32, Device>,
    pub(super) ways: Ways,
    pub(super) protocol: Protocol,
    pub(super) destination: SocketAddr,
    pub(super) part: Part,
}

impl Course<'_> {
    /// Follows the packet there, and its answer back.
    pub(super) async fn run(self, asker: Asker, device: Option<&str>) -> anyhow::Result<Report> {
        let flows = self.view.flows()?;
        let meaning = self.meaning()?;
        let mut notes = Vec::new();
        let place = self.place(asker, device, &mut notes).await?;
        let port = match asker {
            Asker::Address(_, Some(port)) => port,
            Asker::Address(_, None) | Asker::Host => match &place {
                Place::At(_, address) => self.free_port(&flows, *address)?,
                Place::Nowhere(..) => entrance::FIRST_PORT,
            },
        };
        let (Place::At(_, address) | Place::Nowhere(address, ..)) = &place;
        let client = SocketAddr::new(*address, port);
        let is_process = match &place {
            Place::At(entrance, _) => entrance.is_near,
            Place::Nowhere(..) => true,
        };
        let is_host =
            !matches!(&place, Place::At(entrance, _) if entrance.direction == Direction::Ingress);
        let socket = (is_process && self.has_socket_links())
            .then(|| meaning.at_socket(self.protocol, is_host))
            .flatten();
        let mut report = Report {
            protocol: self.protocol,
            flags: self.flag_names(),
            client: client.into(),
            destination: self.destination.into(),
            socket,
            steps: Vec::new(),
            outcome: Outcome::Untouched,
            summary: String::new(),
            notes,
        };
        let entrance = match place {
            Place::At(entrance, _) => entrance,
            Place::Nowhere(_, outcome, summary) => {
                report.end(outcome, &summary);
                return Ok(report);
            }
        };
        if let Some(flow) = flows.find(self.protocol, client, self.destination)? {
            report.end(Outcome::LiveFlow, &self.live(&flow));
            return Ok(report);
        }
        let service = meaning.service.map(|service| service.id);
        let footprint =
            Footprint::before(self.pins, self.protocol, client, self.destination, service)?;
        let followed = self
            .follow(&flows, &meaning, entrance, client, &mut report)
            .await;
        footprint.erase()?;
        followed?;
        let mut known = BTreeSet::new();
        report.notes.retain(|note| known.insert(note.clone()));
        Ok(report)
    }

    fn meaning(&self) -> anyhow::Result<Meaning<'_>> {
        let frontend = self.view.frontend_at(self.destination, self.protocol)?;
        let service = frontend.and_then(|frontend| self.services.get(&frontend.service));
        Ok(Meaning {
            place: self.destination,
            address: self.view.meaning_of(self.destination.ip())?,
            frontend,
            service,
            endpoints: service.map_or_else(Vec::new, |service| self.view.endpoints(service)),
        })
    }

    fn has_socket_links(&self) -> bool {
        std::fs::read_dir(self.pins.sockets()).is_ok_and(|mut links| links.next().is_some())
    }

    fn flag_names(&self) -> Vec<&'static str> {
        match &self.part {
            Part::Flags(flags) => flags.iter().map(|flag| flag.name()).collect(),
            _ if self.protocol == Protocol::Tcp => vec!["SYN"],
            _ => Vec::new(),
        }
    }

    fn live(&self, flow: &FlowEntry) -> String {
        let service = self.services.get(&flow.service);
        let service = service.map_or_else(
            || "a service that is gone".to_owned(),
            |service| service_name::shown(&service.key),
        );
        format!(
            "this tuple belongs to a live flow, which is left in peace: {} -> {} of {service}, {}, to {} as {}; \
             nothing was run",
            flow.client,
            flow.frontend,
            kind(flow.kind),
            flow.endpoint,
            flow.source
        )
    }

    /// Hands a packet to the program of a hook.
    fn run_at(
        &self,
        (ifindex, direction): (u32, Direction),
        part: &Part,
        ends: Ends,
        came_in_by: u32,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Ran> {
        let device = self.devices.get(&ifindex);
        let mac = device.map_or([0; 6], |device| device.mac);
        let has_link_layer = mac != [0; 6];
        let hook = Hook::open(self.pins, ifindex, direction, has_link_layer)?;
        if hook.is_attached() == Some(false) {
            notes.push(format!(
                "at {} of {} another program is in force than the one that was run; restart the agent",
                direction.name(),
                shown(ifindex)
            ));
        }
        if !has_link_layer {
            notes.push(format!(
                "{} has no link layer, which the kernel cannot test: the program for devices with one was run",
                shown(ifindex)
            ));
        }
        let packet = packet::build(self.protocol, part, [ends.source, ends.destination], mac)?;
        Ok(hook.run(&packet, came_in_by)?)
    }

    async fn follow(
        &self,
        flows: &FlowTable,
        meaning: &Meaning<'_>,
        entrance: Entrance,
        client: SocketAddr,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let Entrance {
            ifindex,
            direction,
            is_near,
        } = entrance;
        let ends = Ends {
            source: client,
            destination: self.destination,
        };
        let came_in_by = match direction {
            Direction::Ingress => ifindex,
            Direction::Egress => 0,
        };
        let at = (ifindex, direction);
        let ran = self.run_at(at, &self.part, ends, came_in_by, &mut report.notes)?;
        let flow = flows.find(self.protocol, client, self.destination)?;
        let mut step = Step {
            asks_for: Some(meaning.told()),
            ..step(at, Which::Request, ends, &ran)
        };
        let chosen = flow.as_ref().map(|flow| flow.endpoint);
        if self.part.begins() && !matches!(ran.action, Action::Drop(Some(Counter::SourceRange))) {
            step.set = meaning.set(is_near, chosen);
        }
        if let Some(refusal) = refusal(&ran, ends, meaning) {
            report.end(
                Outcome::Refused,
                "refused: the sender is told at once that nobody serves it",
            );
            step.after = None;
            step.verdict = refusal;
            report.steps.push(step);
            return Ok(());
        }
        if let Action::Drop(reason) = ran.action {
            report.end(
                Outcome::Dropped,
                "dropped: nobody answers, and the sender is not told",
            );
            step.verdict = Verdict::dropped(reason);
            report.steps.push(step);
            return Ok(());
        }
        let flow = match flow {
            Some(flow) if flow.kind != FlowKind::Foreign => flow,
            foreign => {
                let mut summary = meaning.untouched(&self.part);
                if let Some(flow) = foreign {
                    step.flow = Some(kind(flow.kind));
                    summary = "left to the proxy that is handing over; once that is done, netproxy serves it";
                }
                report.end(Outcome::Untouched, summary);
                report.steps.push(step);
                return Ok(());
            }
        };
        let is_local = meaning.is_local(flow.endpoint)
            || self
                .view
                .meaning_of(flow.endpoint.ip())?
                .has(AddressFlags::NODE);
        step.endpoint = Some(Endpoint {
            address: flow.endpoint.ip(),
            port: flow.endpoint.port(),
            is_local,
        });
        step.flow = Some(kind(flow.kind));
        step.source = Some(source(&flow, is_near, is_local));
        let leg = Leg {
            entrance,
            flow,
            step,
        };
        match leg.flow.kind {
            FlowKind::Edge => self.edge(leg, report).await,
            FlowKind::Whole | FlowKind::Host | FlowKind::Foreign => {
                self.past_the_stack(leg, report).await
            }
        }
    }
}
