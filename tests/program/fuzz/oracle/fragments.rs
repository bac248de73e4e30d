//! What may become of fragments: the first one of a datagram has the ports, and those that follow it belong to
//! the same flow. None that comes before it gets anywhere.

use super::{Case, Fate, way};
use crate::fuzz::model::Model;
use crate::fuzz::oracle::opening::is_one_host;
use crate::fuzz::reading::{Reading, SCTP, TCP, UDP};

/// Judges a fragment without a transport header that was changed: it follows one of a flow, and becomes
/// like that one.
pub(super) fn judge(
    model: &Model,
    case: &Case<'_>,
    before: &Reading,
    code: i32,
    output: &[u8],
    after: &Reading,
) -> Result<Fate, String> {
    let tuple = before
        .datagram()
        .and_then(|datagram| model.flows.first_piece(datagram))
        .ok_or("a fragment that follows none was changed")?;
    let half = model
        .flows
        .half(tuple)
        .ok_or("a fragment of no flow was changed")?;
    way::of_half(case, half, code, output)?;
    let [from, to] = [half.to.source, half.to.destination].map(|it| it.ip());
    if (after.source, after.destination) == (from, to) {
        Ok(Fate::TranslatedPiece)
    } else {
        Err(format!(
            "a fragment was changed to other addresses than those of {half:?}"
        ))
    }
}

/// Judges a fragment that passed as it was.
pub(super) fn passed(model: &Model, case: &Case<'_>, packet: &Reading) -> Result<(), String> {
    let Some(datagram) = packet.datagram() else {
        return Ok(());
    };
    let asks_a_service = case.gate.is_ingress
        && case.is_for_node()
        && is_one_host(packet.source)
        && model.is_of_services_alone(packet.destination)
        && matches!(packet.protocol, TCP | UDP | SCTP);
    let is_unknown = packet.is_plain_fragment()
        && !packet.lies_about_its_end()
        && !packet.has_whole_header()
        && model.flows.first_piece(datagram).is_none();
    if asks_a_service && is_unknown {
        return Err("a fragment to a service passed that follows none".to_owned());
    }
    Ok(())
}

/// Takes note of a first fragment, and of what became of it.
pub(super) fn note(model: &mut Model, case: &Case<'_>, packet: &Reading, fate: Fate) {
    let (Some(datagram), Some(tuple)) = (packet.datagram(), packet.tuple()) else {
        return;
    };
    if !packet.has_whole_header() {
        return;
    }
    match fate {
        // What is dropped may have been remembered before.
        Fate::Opened(_)
        | Fate::Forward(_)
        | Fate::Reply(_)
        | Fate::Switched
        | Fate::Rerouted
        | Fate::Dropped => model.flows.set_first_piece(datagram, Some(tuple)),
        // What is not read as a fragment makes none forgotten.
        _ if !packet.is_plain_fragment() || packet.lies_about_its_end() => {}
        _ if case.gate.is_ingress
            && !model.is_of_services(packet.destination)
            && !model.is_of_node(packet.destination) => {}
        _ => model.flows.set_first_piece(datagram, None),
    }
}
