//! What an ICMP error must be that a packet has become.

use super::opening::is_one_host;
use super::{Case, REDIRECT, bytes, way};
use crate::fuzz::model::Model;
use crate::fuzz::reading::{ICMP, ICMP_HEADER, ICMPV6, Piece, Reading, SCTP, TCP};

/// Whether `output` is an error about the packet.
pub(super) fn is_one(case: &Case<'_>, packet: &Reading, output: &[u8]) -> bool {
    let ip = packet.ip;
    let (protocol_at, header) = if packet.is_v4() { (9, 20) } else { (6, 40) };
    let quote = ip + header + ICMP_HEADER;
    let protocol = if packet.is_v4() { ICMP } else { ICMPV6 };
    output.get(ip + protocol_at) == Some(&protocol)
        && output.get(quote..quote + header) == case.input.get(ip..ip + header)
        && output != case.input
}

/// Judges it.
pub(super) fn judge(
    model: &Model,
    case: &Case<'_>,
    packet: &Reading,
    output: &[u8],
    code: i32,
) -> Result<(), String> {
    let may_be = |condition: bool, what: &str| {
        if condition {
            Ok(())
        } else {
            Err(format!("a refusal {what}"))
        }
    };
    may_be(code == REDIRECT, "is not sent back")?;
    may_be(!packet.is_error(case.input), "of what is not to be refused")?;
    may_be(packet.piece != Piece::Later, "of a fragment")?;
    may_be(
        is_one_host(packet.source),
        "to an address that is no host's",
    )?;
    if case.gate.has_link_layer {
        may_be(
            bytes::goes_back(case.input, output),
            "goes astray in its network",
        )?;
        may_be(
            case.input[0] & 1 == 0 || !case.gate.is_ingress,
            "of what was sent to many",
        )?;
    }
    let error = Reading::of(output, packet.ip).ok_or("a refusal is no IP packet")?;
    may_be(
        error.source == packet.destination && error.destination == packet.source,
        "comes from elsewhere or goes to others",
    )?;
    may_be(
        error.end == output.len() && error.is_plain(),
        "lies about its length",
    )?;
    let start = error.transport + ICMP_HEADER;
    let quote = &output[start..];
    let transport = match packet.protocol {
        TCP | SCTP => 20,
        _ => 8,
    };
    let headers = packet.transport - packet.ip + transport;
    may_be(
        case.input[packet.ip..].starts_with(quote) && quote.len() <= headers,
        "quotes something else",
    )?;
    bytes::sums_of_answer_hold(case.input, packet, output, &error)
        .map_err(|what| format!("a refusal {what}"))?;
    let said = [output[error.transport], output[error.transport + 1]];
    is_true(model, case, packet, said)
}

/// Whether the error says what is the case.
fn is_true(model: &Model, case: &Case<'_>, packet: &Reading, said: [u8; 2]) -> Result<(), String> {
    let tuple = packet.tuple();
    let asked = tuple.and_then(|tuple| model.frontend(tuple.destination, tuple.protocol));
    let half = tuple.and_then(|tuple| model.flows.half(tuple));
    let opens = asked.is_some() && half.is_none_or(|half| half.is_ending);
    let ways = half.map_or(Vec::new(), |half| way::ways(case, half));
    let is_so = match (packet.is_v4(), said) {
        // Port unreachable.
        (true, [3, 3]) | (false, [1, 4]) => match asked {
            Some((service, _)) => service.endpoints.is_empty(),
            None => model.is_cluster_ip(packet.destination),
        },
        // Too big, past the stack: there is no device with more than 1500 bytes.
        (true, [3, 4]) | (false, [2, 0]) => {
            let is_large = case.input.len() - packet.ip > 1280 || case.context.gso_size > 0;
            let is_routed = half.is_some_and(|half| way::is_routed_again(case, half))
                || ways.iter().any(|way| way.code == REDIRECT);
            is_large && (opens || is_routed)
        }
        // No hop is left.
        (true, [11, 0]) | (false, [3, 0]) => {
            case.input[packet.ttl_at()] <= 1 && (opens || ways.iter().any(|way| way.hops > 0))
        }
        _ => false,
    };
    if is_so {
        Ok(())
    } else {
        Err(format!("a refusal says {said:?}, which is not so"))
    }
}
