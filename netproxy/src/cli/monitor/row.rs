//! An event as it is printed.

use std::net::SocketAddr;
use std::time::SystemTime;

use jiff::Timestamp;
use netproxy::datapath::EventEntry;
use netproxy::plan::PortKey;
use netproxy_common::protocol::{SCTP, TCP, UDP};
use netproxy_common::{Counter, EventHook, EventKind, FlowKind};
use nix::net::if_::if_indextoname;
use serde::Serialize;

use crate::cli::service_name;
use crate::cli::table::{Cell, Row, Socket};

/// What the columns need as a rule, with addresses of IPv4.
pub(super) const WIDTHS: &[usize] = &[13, 8, 6, 8, 21, 20, 18, 18, 7, 17];

/// Numbers of IANA beside those that services have.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// One event.
#[derive(Debug, Serialize)]
pub(super) struct EventRow {
    time: String,
    event: &'static str,
    by: &'static str,
    protocol: String,
    service_id: Option<u32>,
    namespace: Option<String>,
    name: Option<String>,
    port_name: Option<String>,
    client: Option<Socket>,
    frontend: Socket,
    endpoint: Option<Socket>,
    source: Option<Socket>,
    verdict: &'static str,
    reason: Option<&'static str>,
    device: Option<String>,
    process: Option<Process>,
    #[serde(skip)]
    shown: Shown,
}

/// Who called.
#[derive(Debug, Serialize)]
struct Process {
    id: u32,
    name: String,
}

/// What people see of it in another form.
#[derive(Debug)]
struct Shown {
    service: String,
    client: String,
    frontend: String,
    endpoint: String,
}

impl EventRow {
    pub(super) fn new(event: &EventEntry, key: Option<&PortKey>) -> Self {
        let EventEntry {
            time,
            kind,
            hook,
            protocol,
            service,
            client,
            frontend,
            endpoint,
            source,
            flow_kind,
            reason,
            ifindex,
            process,
        } = event;
        let shown = Shown {
            service: match (key, service) {
                (Some(key), _) => service_name::shown(key),
                (None, Some(id)) => format!("removed (id {id})"),
                (None, None) => "-".to_owned(),
            },
            client: match (client, process) {
                (Some(client), _) => end(*client),
                (None, Some((id, name))) => format!("{name}[{id}]"),
                (None, None) => "-".to_owned(),
            },
            frontend: end(*frontend),
            endpoint: endpoint.map_or_else(|| "-".to_owned(), end),
        };
        Self {
            time: time_of(*time),
            event: match kind {
                EventKind::NewFlow => "new_flow",
                EventKind::Drop => "drop",
                EventKind::Refused => "refused",
            },
            by: match hook {
                EventHook::Packet => "packet",
                EventHook::Socket => "socket",
            },
            protocol: match *protocol {
                TCP => "TCP".to_owned(),
                UDP => "UDP".to_owned(),
                SCTP => "SCTP".to_owned(),
                ICMP => "ICMP".to_owned(),
                ICMPV6 => "ICMPv6".to_owned(),
                other => other.to_string(),
            },
            service_id: *service,
            namespace: key.map(|key| key.service.namespace.to_string()),
            name: key.map(|key| key.service.name.to_string()),
            port_name: key.map(|key| key.port.to_string()),
            client: client.map(Socket::from),
            frontend: (*frontend).into(),
            endpoint: endpoint.map(Socket::from),
            source: source.map(Socket::from),
            verdict: match (kind, flow_kind) {
                (EventKind::Drop, _) => "dropped",
                (EventKind::Refused, _) => "refused",
                (EventKind::NewFlow, Some(FlowKind::Edge)) => "edge",
                (EventKind::NewFlow, Some(FlowKind::Whole)) => "whole",
                (EventKind::NewFlow, Some(FlowKind::Host)) => "host",
                (EventKind::NewFlow, Some(FlowKind::Foreign)) => "foreign",
                (EventKind::NewFlow, None) => "direct",
            },
            reason: reason.map(Counter::name),
            device: ifindex.map(device),
            process: process.as_ref().map(|(id, name)| Process {
                id: *id,
                name: name.clone(),
            }),
            shown,
        }
    }
}

impl Row for EventRow {
    const HEAD: &'static [&'static str] = &[
        "TIME", "EVENT", "BY", "PROTOCOL", "CLIENT", "SERVICE", "FRONTEND", "ENDPOINT", "VERDICT",
        "REASON", "DEVICE",
    ];

    fn cells(&self) -> Vec<Cell> {
        let Shown {
            service,
            client,
            frontend,
            endpoint,
        } = &self.shown;
        // Without the day.
        let time = self.time.split_once('T').map_or("", |(_, time)| time);
        let thousandths = time.get(..12).unwrap_or(time);
        vec![
            format!("{thousandths}Z").into(),
            self.event.replace('_', " ").into(),
            self.by.into(),
            self.protocol.as_str().into(),
            client.as_str().into(),
            service.as_str().into(),
            frontend.as_str().into(),
            endpoint.as_str().into(),
            self.verdict.into(),
            self.reason.unwrap_or("-").into(),
            self.device.as_deref().unwrap_or("-").into(),
        ]
    }
}

/// Events of which nobody was told.
#[derive(Debug, Serialize)]
pub(super) struct Lost {
    time: String,
    event: &'static str,
    count: u64,
}

impl Lost {
    /// So many, until now.
    pub(super) fn now(count: u64) -> Self {
        Self {
            time: time_of(SystemTime::now()),
            event: "lost",
            count,
        }
    }
}

/// RFC 3339, in millionths of a second.
fn time_of(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.6}"))
}

/// With its port, where the protocol has any.
fn end(of: SocketAddr) -> String {
    if of.port() == 0 {
        of.ip().to_string()
    } else {
        of.to_string()
    }
}

/// Its name; its number where it is gone, or in another network namespace.
fn device(ifindex: u32) -> String {
    if_indextoname(ifindex)
        .ok()
        .and_then(|name| name.into_string().ok())
        // What a device that is not there has for a name.
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("#{ifindex}"))
}
