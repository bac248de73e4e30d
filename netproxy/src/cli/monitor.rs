//! `netproxy monitor`: what happens, as it happens.

mod row;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use netproxy::datapath::{EventEntry, Events, View};
use netproxy::model::Protocol;
use netproxy::plan::PortKey;
use netproxy_common::{Counter, EventKind};

use self::row::{EventRow, Lost, WIDTHS};
use super::drops;
use super::flows::protocol_parser;
use super::live::{Awaited, Live, Woken};
use super::service_name::{self, NamespaceArgs, ServiceName};
use super::stream::Stream;
use super::table::{Format, Listing, OutputArgs};

const DETAILS: &str = "\
EVENT is one of
  new flow  a client's first packet, or a process's socket, was given an endpoint
  drop      a packet was dropped, for the REASON that `netproxy drops` counts
  refused   the same, and the sender was told: by an ICMP error, a reset, or the failed call
BY tells where: a packet at a DEVICE, or a process's socket as it connects or first sends. Most
connections of pods and of this node are balanced at the socket and are never seen as packets.
CLIENT is an address and port; of a socket, which has none yet, the process and its number on the
node. VERDICT is, of new flows, edge, whole, host or foreign, as `netproxy flows` explains them, or
direct: the socket goes straight to the endpoint. Else it is dropped or refused. TIME is UTC.

Packets that go on in a known flow are not told, nor what asks for no service and merely passes.
It works without an agent. While nobody listens it costs nothing; a monitor that is killed is
forgotten within five seconds. One can listen at a time: a second one says who does, and ends.
Traffic never waits for a monitor: where it does not keep up, events are lost, and how many is said.
It ends by Ctrl-C, after --count events, or when its reader is gone.

With -o json, an object on each line:
  time                                RFC 3339, UTC
  event                               new_flow, drop, refused; lost: see below
  by                                  packet, socket
  protocol                            TCP, UDP, SCTP, ICMP, ICMPv6, or its number
  service_id                          a number; null where no service is known
  namespace, name, port_name          of the service; null when not known, or removed since
  client, frontend, endpoint, source  {address, port}; null where not known. Source is the client as
                                      the endpoint sees it
  verdict                             as above
  reason                              null for new flows
  device                              its name; null for sockets
  process                             {id, name}; null for packets
Of lost events: {time, event, count}.

Examples:
  netproxy monitor --drops
  netproxy monitor --service shop/cart --count 10
  netproxy monitor --client 10.0.0.7 --protocol udp
  netproxy monitor --reason no_endpoint,no_local_endpoint -o json | jq -r .name";

/// How often the programs are told that somebody listens, and lost events are asked for.
const RENEWAL: Duration = Duration::from_secs(1);
/// Lines are written together as far as a pipe with any room surely takes them (`PIPE_BUF`), with a line to spare.
const PAGE_BYTES: usize = 3072;

/// What to tell.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct MonitorArgs {
    /// Only what asks for this service
    #[arg(long, value_name = service_name::PLACEHOLDER)]
    service: Option<ServiceName>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    /// Only packets of this client (of a socket no address is known)
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// Only what goes to this endpoint
    #[arg(long, value_name = "IP")]
    endpoint: Option<IpAddr>,
    /// Only that with this address: client, frontend, endpoint or source
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Only that of this protocol
    #[arg(long, ignore_case = true, value_parser = protocol_parser())]
    protocol: Option<Protocol>,
    /// Only drops and refusals for these reasons
    #[arg(long, value_delimiter = ',', value_parser = reason_parser(), conflicts_with = "flows")]
    reason: Vec<Counter>,
    /// Only drops and refusals
    #[arg(long, conflicts_with = "flows")]
    drops: bool,
    /// Only new flows
    #[arg(long)]
    flows: bool,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

impl MonitorArgs {
    pub(super) fn run(&self, view: &View, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let live = Live::begin()?;
        let mut events = view.listen(&self.kinds())?;
        say("listening; Ctrl-C ends");
        let mut stream = Stream::new(self.output.output, WIDTHS);
        let mut page = stream.head::<EventRow>();
        let mut names = Names::new(view);
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut renewed = Instant::now();
        loop {
            if renewed.elapsed() >= RENEWAL {
                events.go_on()?;
                page.push_str(&self.lost(&mut events)?);
                names.forget();
                renewed = Instant::now();
            }
            while page.len() < PAGE_BYTES && left > 0 {
                let Some(event) = events.next_event() else {
                    break;
                };
                let key = names.of(&event)?;
                if self.admits(&event, key) {
                    page.push_str(&stream.row(&EventRow::new(&event, key))?);
                    left -= 1;
                }
            }
            if page.is_empty() && left == 0 {
                return Ok(());
            }
            // Never without room for it: a reader that stands still must not keep it from its end.
            let awaited = if page.is_empty() {
                Awaited::Input(events.as_fd())
            } else {
                Awaited::Room
            };
            match live.wait(awaited, RENEWAL)? {
                Woken::Ended => break,
                Woken::Ready if !page.is_empty() => {
                    list.raw(page.as_bytes())?;
                    list.flush()?;
                    page.clear();
                }
                Woken::Ready | Woken::Late => {}
            }
        }
        let rest = self.lost(&mut events)?;
        // Whoever read it may be gone, or stand still.
        if live.wait(Awaited::Room, Duration::ZERO)? == Woken::Ready {
            list.raw(rest.as_bytes())?;
        }
        Ok(())
    }

    /// The kinds that can be among what is wanted, so that the programs need not tell of others.
    fn kinds(&self) -> Vec<EventKind> {
        let drops_only = self.drops || !self.reason.is_empty();
        EventKind::ALL
            .into_iter()
            .filter(|kind| match kind {
                EventKind::NewFlow => !drops_only,
                EventKind::Drop | EventKind::Refused => !self.flows,
            })
            .collect()
    }

    fn admits(&self, event: &EventEntry, key: Option<&PortKey>) -> bool {
        let Self {
            service,
            namespace,
            client,
            endpoint,
            address,
            protocol,
            reason,
            drops: _,
            flows: _,
            count: _,
            output: _,
        } = self;
        let [of_client, of_endpoint, of_source] =
            [event.client, event.endpoint, event.source].map(|end| end.map(|end| end.ip()));
        key.map_or(service.is_none() && namespace.is_unset(), |key| {
            namespace.admits(key, service.as_ref())
        }) && client.is_none_or(|client| of_client == Some(client))
            && endpoint.is_none_or(|endpoint| of_endpoint == Some(endpoint))
            && address.is_none_or(|address| {
                [of_client, Some(event.frontend.ip()), of_endpoint, of_source]
                    .contains(&Some(address))
            })
            && protocol.is_none_or(|protocol| event.protocol == protocol.number())
            && (reason.is_empty() || event.reason.is_some_and(|of| reason.contains(&of)))
    }

    /// Says how many events were lost, if any; to programs in a line of its own.
    fn lost(&self, events: &mut Events) -> anyhow::Result<String> {
        let count = events.lost()?;
        if count == 0 {
            return Ok(String::new());
        }
        say(&format!(
            "{count} events were lost: more happens than is read"
        ));
        match self.output.output {
            Format::Table => Ok(String::new()),
            Format::Json => Stream::object(&Lost::now(count)),
        }
    }
}

/// Says what is no event.
fn say(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

fn reason_parser() -> impl TypedValueParser<Value = Counter> {
    let reasons = || {
        Counter::ALL
            .iter()
            .filter(|reason| drops::is_told(**reason))
    };
    PossibleValuesParser::new(reasons().map(|reason| reason.name())).try_map(move |name| {
        reasons()
            .find(|reason| reason.name() == name)
            .copied()
            .ok_or("no such reason")
    })
}

/// Names of services, which may change at any time.
struct Names<'a> {
    view: &'a View,
    known: BTreeMap<u32, Option<PortKey>>,
}

impl<'a> Names<'a> {
    fn new(view: &'a View) -> Self {
        Self {
            view,
            known: BTreeMap::new(),
        }
    }

    /// The service port that the event is about.
    fn of(&mut self, event: &EventEntry) -> anyhow::Result<Option<&PortKey>> {
        let Some(id) = event.service else {
            return Ok(None);
        };
        if !self.known.contains_key(&id) {
            self.known.insert(id, self.view.service_port(id)?);
        }
        Ok(self.known.get(&id).and_then(Option::as_ref))
    }

    fn forget(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests;
