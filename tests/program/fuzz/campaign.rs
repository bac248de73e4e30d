//! Handing packets in, round by round: each begins with flows of every kind in every state, and ends with a
//! look at the flow table.

use std::fmt::{self, Write as _};
use std::io::{Write as _, stderr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use netproxy::datapath::Counters;
use netproxy::model::Protocol;
use netproxy_common::{Counter, FlowKind};

use super::coverage::Coverage;
use super::gate::Gate;
use super::generate::{Class, Generator, Handed, beginnings};
use super::model::{Model, number_of, serve};
use super::oracle::{Case, Fate, judge};
use super::reading::{ETHERNET, Reading, Tuple};
use crate::world::{Chunk, Context, Flavour, Half, Hook, Packet, World, sctp};

/// Packets of a round.
const ROUND: u64 = 4096;

/// The shortest deadline of a flow, less some. A round that takes longer proves less.
const ROUND_LASTS: Duration = Duration::from_secs(20);

/// How often a run says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// A packet that broke a rule.
#[derive(Debug)]
pub(super) struct Finding {
    seed: u64,
    number: u64,
    rule: String,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            number,
            rule,
            what,
        } = self;
        write!(
            f,
            "packet {number} of seed {seed}: {rule}\n{what}\n\
             again: cargo xtask fuzz --seed {seed} --replay {number}"
        )
    }
}

/// Many packets for one node.
pub(super) struct Campaign {
    model: Model,
    gates: Vec<Gate>,
    /// The program at each gate.
    hooks: Vec<Arc<Hook>>,
    counters: Counters,
    drops: Vec<(Counter, u64)>,
    seed: u64,
    /// Whether counters are read after each packet, which takes longer than the packet.
    is_thorough: bool,
    coverage: Coverage,
    began: Instant,
    told: Instant,
    // Last: the rest must go before its namespaces do.
    world: World,
}

impl Campaign {
    pub(super) fn new(seed: u64) -> Self {
        let sizes = ["FLOWS_V4", "FLOWS_V6", "PENDING_V4", "PENDING_V6"];
        let sizes = sizes.map(|map| format!("{map}=16384"));
        let mut world = World::with_map_sizes(&sizes.each_ref().map(String::as_str)).with_layer_3();
        serve(&mut world);
        let (gates, hooks) = world
            .hooks()
            .map(|(device, direction, hook)| (Gate::at(device, direction, &hook), hook))
            .unzip();
        let counters = Counters::open(world.pins()).unwrap();
        let drops = Counter::ALL.iter().filter(|counter| counter.is_drop());
        Self {
            model: Model::new(),
            gates,
            hooks,
            drops: drops.map(|counter| (*counter, 0)).collect(),
            counters,
            seed,
            is_thorough: false,
            coverage: Coverage::default(),
            began: Instant::now(),
            told: Instant::now(),
            world,
        }
    }

    pub(super) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Hands in that many packets.
    pub(super) fn run(&mut self, packets: u64) -> Result<(), Finding> {
        let mut next = 0;
        while next < packets {
            let end = packets.min(next + ROUND);
            self.round(next..end)?;
            next = end;
            self.tell(packets);
        }
        Ok(())
    }

    /// Hands in the packets of one round up to this one, and shows what becomes of it.
    pub(super) fn replay(&mut self, number: u64) -> Result<(), Finding> {
        self.is_thorough = true;
        self.round(number - number % ROUND..number)?;
        let handed = self.packet(number);
        say(&format!("{}\n", self.show(&handed, None)));
        let fate = self.hand_in(number, &handed)?;
        say(&format!("{fate:?}\n"));
        Ok(())
    }

    fn round(&mut self, numbers: Range<u64>) -> Result<(), Finding> {
        let began = Instant::now();
        self.world.forget_flows();
        self.world.forget_fragments();
        self.model.flows.forget();
        let number = numbers.start / ROUND;
        let resets_unknown = number.is_multiple_of(2);
        self.world.datapath().reset_unknown(resets_unknown).unwrap();
        self.model.resets_unknown = resets_unknown;
        if number.is_multiple_of(4) {
            self.begin(numbers.start, 100)?;
            self.world.outlive(Half::Forward);
            self.world.outlive(Half::Reply);
            self.model.flows.end();
        }
        self.begin(numbers.start, 0)?;
        match number % 4 {
            // The other half is alive, and so is the flow.
            1 => self.world.outlive(Half::Forward),
            2 => self.world.outlive(Half::Reply),
            _ => {}
        }
        let end = numbers.end;
        for number in numbers {
            let handed = self.packet(number);
            self.hand_in(number, &handed)?;
        }
        if began.elapsed() > ROUND_LASTS {
            self.model.flows.shake_all();
        }
        self.compare(end)
    }

    fn packet(&self, number: u64) -> Handed {
        // Neighbours must have nothing in common.
        let seed = Rng::with_seed(self.seed).u64(..) ^ Rng::with_seed(number).u64(..);
        let rng = Rng::with_seed(seed);
        Generator {
            gates: &self.gates,
            model: &self.model,
            rng,
        }
        .packet()
    }

    /// Opens a flow of each kind: one that its endpoint has not answered, one that it has, one that the
    /// client has gone on with, and one that closes.
    fn begin(&mut self, number: u64, round: u16) -> Result<(), Finding> {
        for flavour in Flavour::ALL {
            for life in 0..4 {
                for (device, is_ingress, client, frontend) in beginnings(flavour, round + life) {
                    let first = flavour.first(client, frontend);
                    self.one(number, device, is_ingress, first.clone())?;
                    let key = tuple_of(&first.ip_bytes());
                    let Some(half) = self.model.flows.half(key) else {
                        // Refused for want of a port or the like, which is no rule's business.
                        continue;
                    };
                    let (to, kind) = (half.to, half.kind);
                    if life == 0 {
                        continue;
                    }
                    let answer = flavour.answer(to.destination, to.source);
                    let comes_back = kind != FlowKind::Edge;
                    self.one(number, device, comes_back, answer)?;
                    if life == 1 {
                        continue;
                    }
                    let later = flavour.later(client, frontend);
                    self.one(number, device, is_ingress, later.clone())?;
                    let last = match flavour.protocol {
                        _ if life != 3 => continue,
                        Protocol::Tcp => later.rst(),
                        Protocol::Sctp => sctp(Chunk::Abort, client, frontend),
                        Protocol::Udp => continue,
                    };
                    self.one(number, device, is_ingress, last)?;
                }
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        number: u64,
        device: &str,
        is_ingress: bool,
        packet: Packet,
    ) -> Result<(), Finding> {
        let gate = self
            .gates
            .iter()
            .position(|gate| gate.device == device && gate.is_ingress == is_ingress)
            .unwrap();
        let here = &self.gates[gate];
        let packet = if here.has_link_layer {
            packet
        } else {
            packet.without_link_layer()
        };
        let handed = Handed {
            class: Class::OfFlow,
            twist: None,
            gate,
            context: Context {
                came_in_by: if is_ingress { here.ifindex } else { 0 },
                ..Context::default()
            },
            bytes: packet.bytes(),
        };
        self.hand_in(number, &handed).map(drop)
    }

    fn hand_in(&mut self, number: u64, handed: &Handed) -> Result<Option<Fate>, Finding> {
        let gate = &self.gates[handed.gate];
        let Ok((code, output)) = self.hooks[handed.gate].try_run(&handed.bytes, handed.context)
        else {
            self.coverage.not_run();
            return Ok(None);
        };
        let case = Case {
            gate,
            context: handed.context,
            came_in_by_bridge: self.is_bridged(handed.context.came_in_by),
            input: &handed.bytes,
        };
        let judged = judge(&mut self.model, &case, code, &output);
        let program = gate.program();
        let judged = judged.and_then(|fate| {
            self.coverage
                .note(handed.class, handed.twist, program, fate);
            self.count(fate).map(|()| fate)
        });
        judged.map(Some).map_err(|rule| Finding {
            seed: self.seed,
            number,
            rule,
            what: self.show(handed, Some((code, &output))),
        })
    }

    /// Whether the device with this number is a port of the bridge.
    fn is_bridged(&self, ifindex: u32) -> bool {
        self.gates
            .iter()
            .any(|gate| gate.ifindex == ifindex && gate.is_bridged())
    }

    /// Whether a drop or a refusal has one reason, and nothing else has any.
    fn count(&mut self, fate: Fate) -> Result<(), String> {
        let has_reason = matches!(fate, Fate::Dropped | Fate::Refused | Fate::Reset);
        if !has_reason && !self.is_thorough {
            return Ok(());
        }
        let mut reasons = Vec::new();
        for (counter, seen) in &mut self.drops {
            let now = self.counters.get(*counter).unwrap();
            if now != *seen {
                reasons.push((*counter, now - *seen));
                *seen = now;
            }
        }
        match (&reasons[..], has_reason) {
            ([(reason, 1)], true) => {
                self.coverage.note_reason(*reason);
                Ok(())
            }
            ([], false) => Ok(()),
            _ => Err(format!(
                "{fate:?}, and since the last drop these reasons were counted: {reasons:?}"
            )),
        }
    }

    /// Whether the flow table holds what the model does.
    fn compare(&mut self, number: u64) -> Result<(), Finding> {
        let finding = |rule: &str, what: String| Finding {
            seed: self.seed,
            number,
            rule: rule.to_owned(),
            what,
        };
        let mut there = std::collections::HashMap::new();
        for flow in self.world.flows() {
            let protocol = number_of(flow.protocol);
            let tuple = |source, destination| Tuple {
                source,
                destination,
                protocol,
            };
            let key = tuple(flow.client, flow.frontend);
            let to = tuple(flow.source, flow.endpoint);
            let is_known = self
                .model
                .flows
                .half(key)
                .is_some_and(|half| half.to == to && half.kind == flow.kind);
            if !is_known && flow.expires_s > 0 {
                let rule = "the table holds a flow that no packet of its own opened";
                return Err(finding(rule, format!("{flow:?}")));
            }
            there.insert(key, to);
        }
        for (key, half) in self.model.flows.forward_halves() {
            if !half.is_ending && there.get(key) != Some(&half.to) {
                let rule = "a flow is gone that no packet of its own ended";
                return Err(finding(rule, format!("{key:?}: {half:?}")));
            }
        }
        Ok(())
    }

    fn show(&self, handed: &Handed, became: Option<(i32, &[u8])>) -> String {
        let Handed {
            class,
            twist,
            gate,
            context,
            bytes,
        } = handed;
        let gate = &self.gates[*gate];
        let ip = if gate.has_link_layer { ETHERNET } else { 0 };
        let mut text = format!(
            "{class:?}, twisted by {twist:?}, {gate:?}, {context:?}\n{}\n{:?}\n",
            hex(bytes),
            Reading::of(bytes, ip),
        );
        if let Some((code, output)) = became {
            let _ = write!(
                text,
                "became, with {code},\n{}\n{:?}",
                hex(output),
                Reading::of(output, ip)
            );
        }
        text
    }

    fn tell(&mut self, packets: u64) {
        if self.told.elapsed() < PROGRESS {
            return;
        }
        self.told = Instant::now();
        let done = self.coverage.packets();
        let each_s = u128::from(done) * 1000 / self.began.elapsed().as_millis().max(1);
        say(&format!("{done} of {packets} packets, {each_s}/s\n"));
    }
}

/// Not by a macro: what those print of a test that passes is not shown.
pub(super) fn say(text: &str) {
    stderr().write_all(text.as_bytes()).unwrap();
}

fn tuple_of(packet: &[u8]) -> Tuple {
    Reading::of(packet, 0).unwrap().tuple().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
