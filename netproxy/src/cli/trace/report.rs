//! What a trace tells, to programs as it is and to people in lines.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use netproxy::model::Protocol;
use netproxy_common::Counter;
use serde::Serialize;

use crate::cli::clients::Client;
use crate::cli::table::{Socket, as_text};

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(serialize_with = "as_text")]
    pub(super) protocol: Protocol,
    pub(super) flags: Vec<&'static str>,
    pub(super) client: Socket,
    pub(super) destination: Socket,
    pub(super) socket: Option<AtSocket>,
    pub(super) steps: Vec<Step>,
    pub(super) outcome: Outcome,
    pub(super) summary: String,
    pub(super) notes: Vec<String>,
}

/// What a process's socket would be told before there is a packet.
#[derive(Debug, Serialize)]
pub(super) struct AtSocket {
    pub(super) is_balanced: bool,
    pub(super) why: String,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// The request comes to an endpoint, and its answer back.
    Answered,
    /// The request comes to an endpoint, and its answer does not come back.
    Unanswered,
    /// netproxy leaves the packet as it is.
    Untouched,
    /// Nobody serves it, and the sender is told.
    Refused,
    /// It is dropped.
    Dropped,
    /// The stack has no way for it.
    Unroutable,
    /// It crosses no hook of a device.
    LeftToSockets,
    /// There is such a flow already; nothing was run.
    LiveFlow,
}

/// Where a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum At {
    Ingress,
    Egress,
    Stack,
}

/// One of the two packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Which {
    Request,
    Answer,
}

/// One place that a packet comes by.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) at: At,
    pub(super) device: Option<String>,
    pub(super) packet: Which,
    pub(super) asks_for: Option<String>,
    pub(super) set: Option<Set>,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) flow: Option<&'static str>,
    pub(super) source: Option<Source>,
    pub(super) before: Ends,
    pub(super) after: Option<Ends>,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
}

/// The endpoints that such a client may use, of all.
#[derive(Debug, Serialize)]
pub(super) struct Set {
    pub(super) clients: Client,
    pub(super) usable: u32,
    pub(super) total: usize,
}

/// The one chosen.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Endpoint {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) is_local: bool,
}

/// Whether the endpoint sees the client.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub(super) is_kept: bool,
    pub(super) why: &'static str,
}

/// A packet's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

impl Serialize for Ends {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            source: Socket,
            destination: Socket,
        }
        Shown {
            source: self.source.into(),
            destination: self.destination.into(),
        }
        .serialize(to)
    }
}

/// What becomes of the packet there.
#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// The stack goes on with it.
    Passed,
    /// Past the stack.
    Redirected {
        to_device: Option<String>,
        next_hop: Option<IpAddr>,
    },
    /// It becomes an answer that says so.
    Refused {
        by: &'static str,
        reason: &'static str,
        meaning: &'static str,
    },
    /// For a reason, if the program tells.
    Dropped {
        reason: Option<&'static str>,
        meaning: &'static str,
    },
    /// By the stack.
    Routed {
        to_device: Option<String>,
        next_hop: Option<IpAddr>,
    },
    /// By a bridge, past the stack.
    Switched { to_device: Option<String> },
    /// To a socket of this node.
    Delivered,
    /// By the stack.
    NoRoute { error: String },
}

impl Verdict {
    pub(super) fn dropped(reason: Option<Counter>) -> Self {
        Self::Dropped {
            reason: reason.map(Counter::name),
            meaning: reason.map_or("", |reason| reason.meaning().trim_start()),
        }
    }

    pub(super) fn refused(by: &'static str, reason: Counter) -> Self {
        Self::Refused {
            by,
            reason: reason.name(),
            meaning: reason.meaning().trim_start(),
        }
    }

    fn told(&self, at: At) -> String {
        let by = |device: &Option<String>, next_hop: &Option<IpAddr>| {
            let mut text = device.as_deref().unwrap_or("a device").to_owned();
            if let Some(next_hop) = next_hop {
                let _ = write!(text, ", next hop {next_hop}");
            }
            text
        };
        match self {
            Self::Passed if at == At::Egress => "goes out".to_owned(),
            Self::Passed => "passed on to the stack".to_owned(),
            Self::Redirected {
                to_device,
                next_hop,
            } => {
                format!("redirected past the stack to {}", by(to_device, next_hop))
            }
            Self::Refused {
                by,
                reason,
                meaning,
            } => {
                format!("refused by {by} ({reason}): {meaning}")
            }
            Self::Dropped {
                reason: Some(reason),
                meaning,
            } => {
                format!("dropped ({reason}): {meaning}")
            }
            Self::Dropped { reason: None, .. } => {
                "dropped; `netproxy drops` has counted the reason".to_owned()
            }
            Self::Routed {
                to_device,
                next_hop,
            } => format!("routed to {}", by(to_device, next_hop)),
            Self::Switched { to_device } => format!(
                "switched by a bridge to {}, past the stack",
                by(to_device, &None)
            ),
            Self::Delivered => "delivered to a process of this node".to_owned(),
            Self::NoRoute { error } => format!("no route: {error}"),
        }
    }
}

/// The width of what stands before the facts.
const LABELS: usize = 12;

impl Report {
    /// So it ends.
    pub(super) fn end(&mut self, outcome: Outcome, summary: &str) {
        self.outcome = outcome;
        summary.clone_into(&mut self.summary);
    }

    /// In lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut what = self.protocol.to_string();
        if !self.flags.is_empty() {
            let _ = write!(what, " {}", self.flags.join(" "));
        }
        let mut lines = vec![format!("{what} {} -> {}", self.client, self.destination)];
        if let Some(AtSocket { is_balanced, why }) = &self.socket {
            lines.push(String::new());
            lines.push("at the socket, before there is a packet".to_owned());
            let label = if *is_balanced { "balanced" } else { "left" };
            lines.push(fact(label, why));
        }
        for step in &self.steps {
            lines.push(String::new());
            step.tell(&mut lines);
        }
        lines.push(String::new());
        lines.push(self.summary.clone());
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }
}

impl Step {
    fn tell(&self, lines: &mut Vec<String>) {
        let device = self.device.as_deref().unwrap_or("a device");
        let place = match self.at {
            At::Ingress => format!("ingress of {device}"),
            At::Egress => format!("egress of {device}"),
            At::Stack => "the stack".to_owned(),
        };
        lines.push(match self.packet {
            Which::Request => place,
            Which::Answer => format!("{place}, the answer"),
        });
        if let Some(text) = &self.asks_for {
            lines.push(fact("asks for", text));
        }
        if let Some(Set {
            clients,
            usable,
            total,
        }) = &self.set
        {
            lines.push(fact(
                "endpoints",
                &format!("{} clients use {usable} of {total}", clients.name()),
            ));
        }
        if let Some(Endpoint {
            address,
            port,
            is_local,
        }) = self.endpoint
        {
            let place = if is_local {
                "on this node"
            } else {
                "on another node"
            };
            let socket = SocketAddr::new(address, port);
            lines.push(fact("chosen", &format!("{socket}, {place}")));
        }
        if let Some(flow) = self.flow {
            lines.push(fact("flow", &format!("{flow}: {}", kind_in_words(flow))));
        }
        if let Some(Source { is_kept, why }) = &self.source {
            let what = if *is_kept { "kept" } else { "hidden" };
            lines.push(fact("source", &format!("{what}: {why}")));
        }
        let Ends {
            source,
            destination,
        } = self.before;
        lines.push(fact("packet", &format!("{source} -> {destination}")));
        if let Some(after) = self.after.filter(|after| *after != self.before) {
            lines.push(fact(
                "becomes",
                &format!("{} -> {}", after.source, after.destination),
            ));
        }
        lines.push(fact("verdict", &self.verdict.told(self.at)));
    }
}

fn fact(label: &str, text: &str) -> String {
    format!("  {label:LABELS$} {text}")
}

/// As `netproxy flows --help` has it.
fn kind_in_words(flow: &str) -> &'static str {
    match flow {
        "edge" => {
            "only the destination is translated, where the client's packets enter and leave this node"
        }
        "whole" => "source and destination are translated, and packets go past this node's stack",
        "host" => "of a process of this node; translated as its packets leave, and past the stack",
        _ => "another proxy began it, and netfilter goes on with it",
    }
}
