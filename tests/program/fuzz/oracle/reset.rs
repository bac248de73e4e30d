//! What the reset must be that a segment of an unknown connection has become (RFC 9293, section 3.5.2).

use super::opening::is_one_host;
use super::{Case, REDIRECT, bytes};
use crate::fuzz::model::Model;
use crate::fuzz::reading::{ACK, RST, Reading, TCP};

/// Length of a TCP header without options.
const HEADER: usize = 20;

/// Whether `output` is the reset of the packet's connection.
pub(super) fn is_one(model: &Model, case: &Case<'_>, packet: &Reading, output: &[u8]) -> bool {
    let Some(reset) = Reading::of(output, packet.ip) else {
        return false;
    };
    let is_answer = packet
        .tuple()
        .is_some_and(|tuple| reset.tuple() == Some(tuple.reversed()));
    model.resets_unknown
        && packet.protocol == TCP
        && is_answer
        && reset.flags(output) == RST
        && packet.flags(case.input) & (RST | ACK) == ACK
}

/// Judges it.
pub(super) fn judge(
    model: &Model,
    case: &Case<'_>,
    packet: &Reading,
    output: &[u8],
    code: i32,
) -> Result<(), String> {
    let must = |condition: bool, what: &str| {
        if condition {
            Ok(())
        } else {
            Err(format!("a reset {what}"))
        }
    };
    must(code == REDIRECT, "is not sent back")?;
    let tuple = packet.tuple().ok_or("a reset of nothing")?;
    must(
        model.frontend(tuple.destination, TCP).is_some(),
        "of what asks no service",
    )?;
    let half = model.flows.half(tuple);
    must(
        half.is_none_or(|half| half.is_ending),
        "of a connection that is known",
    )?;
    must(
        is_one_host(packet.source),
        "to an address that is no host's",
    )?;
    if case.gate.is_ingress {
        must(case.is_for_node(), "of a frame that is not this node's")?;
    } else {
        must(
            case.is_from_host() && model.is_of_node(packet.source),
            "of what no process of this node sent",
        )?;
    }
    if case.gate.has_link_layer {
        must(
            bytes::goes_back(case.input, output),
            "goes astray in its network",
        )?;
    }
    let reset = Reading::of(output, packet.ip).ok_or("a reset is no IP packet")?;
    must(
        reset.is_plain() && reset.end == output.len() && reset.end == reset.transport + HEADER,
        "lies about its length",
    )?;
    let segment = &output[reset.transport..];
    must(
        segment[4..8] == case.input[packet.transport + 8..][..4]
            && segment[8..12] == [0; 4]
            && segment[12..14] == [5 << 4, RST],
        "acknowledges or resets something else",
    )?;
    bytes::sums_of_answer_hold(case.input, packet, output, &reset)
        .map_err(|what| format!("a reset {what}"))
}
