//! `netproxy trace`: what becomes of a packet, by running it through the programs in force.

mod course;
mod ends;
mod packet;
mod report;
mod words;

use anyhow::{Context as _, bail};
use caps::{CapSet, Capability};
use clap::Args;
use netproxy::datapath::{Pins, View, are_runs_undisturbed};
use netproxy::model::Protocol;
use netproxy::node::Ways;
use tokio::runtime;

use self::course::Course;
use self::ends::{Asked, Asker};
use self::packet::{Part, TcpFlag};
use super::flows::protocol_parser;
use super::table::{Format, Listing, OutputArgs};

const DETAILS: &str = "\
A packet is built as FROM would send it to TO, and handed to the programs that are in force on this
node, at the device by which FROM's packets come in. Then the answer of the endpoint is, on its way
back. Each step is told: what TO means, the set of endpoints that such a client may use (in the words
of `netproxy explain`), the one that was chosen, what is translated, what becomes of the packet.
Nothing is sent: the kernel does nothing with a packet of a test run (BPF_PROG_TEST_RUN).

FROM is an address, with a port or without (then any is taken), or `host`, a process of this node.
TO is an address with a port, or a service, at its cluster IP. The device is the one that the route
back to FROM leaves by; behind a bridge, the port that FROM has lately been seen at. Where that is not
so, name it with --device.

What a trace cannot tell: what netfilter's rules, NetworkPolicies and programs of others make of the
packet; what other nodes do; and what a process's socket does, as those programs cannot be run so: it
says what they would decide. It chooses an endpoint at random, as they do; the next client may get
another one.

What it leaves: nothing in the tables. The flow that it opens is removed at once, and so is what it has
told of the client's affinity. Where clients have every source port towards an endpoint, an unanswered
flow may make way for it, as for any client. Counters go up (`netproxy drops`, `top`, `counters`), and
`netproxy monitor` tells of it. Where FROM, with its port, has a flow to TO already, that is told, and
nothing is run.

It works without an agent, and in the agent's container. It takes root with CAP_BPF.
Before Linux 6.3 packets that come in at the same moment may disturb it, and it them: it takes --force.

With -o json, an object:
  protocol, flags, client, destination
                 the packet; ends are {address, port}
  socket         {is_balanced, why}: what a process's socket is told; null where none is asked
  steps          an array: at (ingress, egress, stack), device, packet (request, answer), asks_for,
                 set {clients, usable, total}, endpoint {address, port, is_local}, flow (edge, whole,
                 host, foreign), source {is_kept, why}, before and after {source, destination},
                 verdict (passed, redirected, refused, dropped, routed, switched, delivered,
                 no-route), and by verdict: to_device, next_hop, by, reason, meaning, error
  outcome        answered, unanswered, untouched, refused, dropped, unroutable, left-to-sockets,
                 live-flow
  summary, notes the same in words

Examples:
  netproxy trace 10.244.1.7 shop/cart
  netproxy trace 203.0.113.9 192.0.2.10:30080
  netproxy trace host 10.96.0.10:53 --protocol udp
  netproxy trace 10.244.1.7:40000 10.96.0.80:80 --flags ack
  kubectl exec -n kube-system ds/netproxy -- /netproxy trace 10.244.1.7 shop/cart:http -o json";

/// What to trace.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct TraceArgs {
    /// Who asks: an address, with or without a port, or `host`
    #[arg(value_name = "FROM")]
    from: Asker,
    /// What is asked for: ADDRESS:PORT, or a service
    #[arg(value_name = "TO")]
    to: Asked,
    /// The packet's protocol [default: what TO serves, else TCP]
    #[arg(long, ignore_case = true, value_parser = protocol_parser())]
    protocol: Option<Protocol>,
    /// The device by which the packet comes in; of the host's own, leaves [default: by route]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// The flags of a TCP segment, in place of a SYN
    #[arg(long, value_enum, value_delimiter = ',', ignore_case = true)]
    flags: Vec<TcpFlag>,
    /// Run it on Linux before 6.3 as well, where live packets may disturb it, and it them
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl TraceArgs {
    pub(super) fn run(&self, pins: &Pins, list: &mut Listing<'_>) -> anyhow::Result<()> {
        check_privileges()?;
        let view = View::open(pins)?;
        if !self.force && !are_runs_undisturbed() {
            bail!(
                "this kernel does not keep packets that come in from disturbing a traced one, and it from \
                 disturbing them; Linux 6.3 and newer do. On a quiet node, add --force"
            );
        }
        let services = view.services()?;
        let (destination, protocol) = self.to.find(self.from, self.protocol, &view, &services)?;
        if protocol != Protocol::Tcp && !self.flags.is_empty() {
            bail!("--flags: packets of {protocol} have none; leave it out, or add --protocol tcp");
        }
        let part = if self.flags.is_empty() {
            Part::First
        } else {
            Part::Flags(self.flags.clone())
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no network can be used")?;
        let report = runtime.block_on(async {
            let course = Course {
                pins,
                view: &view,
                services: &services,
                devices: view.devices()?,
                ways: Ways::connect()?,
                protocol,
                destination,
                part,
            };
            course.run(self.from, self.device.as_deref()).await
        })?;
        match self.output.output {
            Format::Table => {
                for line in report.lines() {
                    list.line(&line)?;
                }
            }
            Format::Json => list.line(&serde_json::to_string_pretty(&report)?)?,
        }
        Ok(())
    }
}

/// Without these, the kernel's answer would name none.
fn check_privileges() -> anyhow::Result<()> {
    let effective =
        caps::read(None, CapSet::Effective).context("what this process may do cannot be read")?;
    if effective.contains(&Capability::CAP_BPF) || effective.contains(&Capability::CAP_SYS_ADMIN) {
        return Ok(());
    }
    bail!(
        "CAP_BPF is missing, which it takes to run programs: run it as root on the node, or by `kubectl exec` in the \
         agent's container, whose processes have it"
    )
}
