//! What may become of a packet, whatever it is.
//!
//! 1. What its checksums add up to stays: right ones stay right, wrong ones stay as wrong as they were.
//! 2. What asks no service, belongs to no flow and quotes none comes out as it went in.
//! 3. Nothing changes but addresses, ports, checksums and the hop limit; an ICMP error changes so, and what
//!    it quotes; a refusal is an error about the packet, or the reset of its connection.
//! 4. A flow is translated where its packets can come, and nowhere else; nothing but its own tuple is.
//! 5. What comes out is what the flow holds, or an endpoint of the service that was asked, and the flow
//!    is of the kind that the client's place demands.
//! 6. A fragment is translated as the first one of its datagram was; before that it gets to no service.
//! 7. A program passes, drops or redirects.

mod bytes;
mod error;
mod fragments;
mod opening;
mod refusal;
mod reset;
mod way;

use netproxy_common::FlowKind;

use self::bytes::{only_headers_change, sums_stay};
use super::gate::Gate;
use super::model::{Client, Half, Model};
use super::reading::{ACK, ETHERNET, FIN, Piece, RST, Reading, SCTP, SYN, Tuple, UDP};
use crate::world::{Context, NODE_MAC};

/// `TCX_NEXT`, `TC_ACT_SHOT` and `TC_ACT_REDIRECT` of uapi/linux/bpf.h and `pkt_cls.h`.
const NEXT: i32 = -1;
const SHOT: i32 = 2;
const REDIRECT: i32 = 7;

/// A packet at a hook.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) gate: &'a Gate,
    pub(super) context: Context,
    /// Whether the device that it came in by is a port of the bridge.
    pub(super) came_in_by_bridge: bool,
    pub(super) input: &'a [u8],
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Passed,
    Opened(FlowKind),
    Forward(FlowKind),
    Reply(FlowKind),
    /// A client's packet of an edge flow, past the stack.
    Switched,
    /// An answer of an edge flow, by another uplink.
    Rerouted,
    ErrorAboutForward(FlowKind),
    ErrorAboutReply(FlowKind),
    TranslatedPiece,
    Refused,
    Reset,
    Dropped,
}

impl Case<'_> {
    fn ip(&self) -> usize {
        if self.gate.has_link_layer {
            ETHERNET
        } else {
            0
        }
    }

    /// The packet, if the kernel takes it for one of IP.
    fn reading(&self) -> Option<Reading> {
        let reading = Reading::of(self.input, self.ip())?;
        let ethertype: &[u8] = if reading.is_v4() {
            &[0x08, 0]
        } else {
            &[0x86, 0xdd]
        };
        (self.input.get(12..14)? == ethertype).then_some(reading)
    }

    fn is_from_host(&self) -> bool {
        self.context.came_in_by == 0
    }

    /// Whether the frame is addressed to this node alone.
    fn is_for_node(&self) -> bool {
        !self.gate.has_link_layer || self.input[..6] == NODE_MAC
    }
}

/// Judges what a program made of a packet, and takes note of it.
///
/// # Errors
/// Which rule it breaks.
pub(super) fn judge(
    model: &mut Model,
    case: &Case<'_>,
    code: i32,
    output: &[u8],
) -> Result<Fate, String> {
    if !matches!(code, NEXT | SHOT | REDIRECT) {
        return Err(format!("the program returned {code}"));
    }
    let Some(reading) = case.reading() else {
        return if code == NEXT && output == case.input {
            Ok(Fate::Passed)
        } else {
            Err("what is no IP packet did not pass as it was".to_owned())
        };
    };
    let fate = of_packet(model, case, &reading, code, output)?;
    note(model, case, &reading, fate);
    Ok(fate)
}

fn of_packet(
    model: &mut Model,
    case: &Case<'_>,
    packet: &Reading,
    code: i32,
    output: &[u8],
) -> Result<Fate, String> {
    if code == NEXT && output == case.input {
        fragments::passed(model, case, packet)?;
        return Ok(Fate::Passed);
    }
    if !is_concerned(model, case, packet) {
        return Err("what is nobody's did not pass as it was".to_owned());
    }
    if code == SHOT {
        Ok(Fate::Dropped)
    } else if refusal::is_one(case, packet, output) {
        refusal::judge(model, case, packet, output, code)?;
        Ok(Fate::Refused)
    } else if reset::is_one(model, case, packet, output) {
        reset::judge(model, case, packet, output, code)?;
        Ok(Fate::Reset)
    } else {
        changed(model, case, packet, code, output)
    }
}

/// Takes note of what the packet, of which this became, may mean to its flow.
fn note(model: &mut Model, case: &Case<'_>, packet: &Reading, fate: Fate) {
    fragments::note(model, case, packet, fate);
    let followed = || model.flows.first_piece(packet.datagram()?);
    let Some(tuple) = packet.tuple().or_else(followed) else {
        return;
    };
    let half = model.flows.half(tuple);
    if half.is_some_and(|half| way::may_be_switched(case, half)) {
        model.flows.switch(tuple);
    }
    model.flows.shake(tuple, packet.flags(case.input));
}

/// Whether the packet may be anybody's of whom the node knows.
fn is_concerned(model: &Model, case: &Case<'_>, packet: &Reading) -> bool {
    if packet.has_way_left {
        return false;
    }
    let is_flows = |tuple: Tuple| model.flows.half(tuple).is_some();
    let quoted = packet.quoted(case.input).and_then(|quoted| quoted.tuple());
    if quoted.is_some_and(|told| is_flows(told.reversed())) {
        return true;
    }
    if model.is_cluster_ip(packet.destination) || Model::is_in_service_cidr(packet.destination) {
        return true;
    }
    if let Some(datagram) = packet.datagram()
        && !packet.has_whole_header()
    {
        return model.is_of_services_alone(packet.destination)
            || model.flows.first_piece(datagram).is_some_and(is_flows);
    }
    packet.tuple().is_some_and(|tuple| {
        is_flows(tuple) || model.frontend(tuple.destination, tuple.protocol).is_some()
    })
}

/// Judges a packet that goes on, and not as it came.
fn changed(
    model: &mut Model,
    case: &Case<'_>,
    before: &Reading,
    code: i32,
    output: &[u8],
) -> Result<Fate, String> {
    if output.len() != case.input.len() {
        return Err(format!(
            "{} bytes became {}",
            case.input.len(),
            output.len()
        ));
    }
    let after = Reading::of(output, before.ip).ok_or("what came out is no IP packet")?;
    sums_stay(case.input, before, output, &after)?;
    if let Some(quoted) = before.quoted(case.input) {
        return error::judge(model, case, before, &quoted, code, output, &after);
    }
    only_headers_change(case, before, None, output)?;
    if before.piece == Piece::Later {
        return fragments::judge(model, case, before, code, output, &after);
    }
    let (Some(key), Some(to)) = (before.tuple(), after.tuple()) else {
        return Err("something without ports was changed".to_owned());
    };
    if !before.has_whole_header() {
        return Err("a packet without a whole transport header was changed".to_owned());
    }
    if before.piece == Piece::First && before.protocol == SCTP && before.ports != after.ports {
        return Err("the checksum of a whole packet was reckoned from a part".to_owned());
    }
    if let Some(half) = model.flows.half(key) {
        let may_be_anew = half.is_ending && opens(key, before.flags(case.input));
        if half.to == to {
            match way::of_half(case, half, code, output) {
                Ok(()) => {
                    let fate = way::fate(half, code);
                    if may_be_anew && half.client.ifindex != case.gate.ifindex {
                        model.flows.shift(key);
                    }
                    return Ok(fate);
                }
                // By chance to the same endpoint.
                Err(_) if may_be_anew => {}
                Err(rule) => return Err(rule),
            }
        } else if !half.is_ending {
            return Err(format!("{key:?} became {to:?}, where there is {half:?}"));
        }
    }
    let kind = opening::judge(model, case, before, key, to, code, output)?;
    let forward = Half {
        to,
        kind,
        is_reply: false,
        client: Client {
            ifindex: case.gate.ifindex,
            is_outside: case.gate.is_outside(),
            may_have_moved: false,
        },
        is_switched: false,
        is_ending: false,
    };
    model.flows.open(key, forward)?;
    Ok(Fate::Opened(kind))
}

/// Whether a packet with such flags may be the first of something.
fn opens(key: Tuple, flags: u8) -> bool {
    key.protocol == UDP || flags & (SYN | ACK | RST | FIN) == SYN
}
