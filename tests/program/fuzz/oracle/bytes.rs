//! What may change of a packet, byte for byte.

use std::ops::Range;

use super::Case;
use crate::fuzz::reading::Reading;
use crate::world::NODE_MAC;

/// The Ethernet header stays; of what is turned to another device its destination becomes that.
pub(super) fn frame_stays(case: &Case<'_>, is_turned: bool, output: &[u8]) -> Result<(), String> {
    let link = case.ip();
    let mut expected = case.input[..link].to_vec();
    if is_turned {
        expected[..6].copy_from_slice(&NODE_MAC);
    }
    if output[..link] == expected {
        Ok(())
    } else {
        Err("the Ethernet header changed".to_owned())
    }
}

/// So many hops are taken, and one is left.
pub(super) fn takes_hops(case: &Case<'_>, hops: u8, output: &[u8]) -> Result<(), String> {
    let at = Reading::of(case.input, case.ip()).map_or(0, |reading| reading.ttl_at());
    let (before, after) = (case.input[at], output[at]);
    if before.checked_sub(hops) == Some(after) && (hops == 0 || after > 0) {
        Ok(())
    } else {
        Err(format!("a hop limit of {before} became {after}"))
    }
}

/// Right checksums stay right, wrong ones as wrong.
pub(super) fn sums_stay(
    input: &[u8],
    before: &Reading,
    output: &[u8],
    after: &Reading,
) -> Result<(), String> {
    let is_same_shape = (before.transport, before.end, before.protocol, before.piece)
        == (after.transport, after.end, after.protocol, after.piece);
    if !is_same_shape {
        return Err(format!("{before:?} became {after:?}"));
    }
    if before.header_sum(input) != after.header_sum(output) {
        return Err("the header checksum is off by more or less than before".to_owned());
    }
    if before.transport_sum(input) != after.transport_sum(output) {
        return Err("the transport checksum is off by more or less than before".to_owned());
    }
    Ok(())
}

/// As `sums_stay`, of what an ICMP error quotes.
pub(super) fn quoted_sums_stay(
    case: &Case<'_>,
    before: &Reading,
    output: &[u8],
) -> Result<(), String> {
    let end = before.end;
    let after = Reading::of_quote(&output[..end], before.ip).ok_or("it quotes no IP packet")?;
    if before.header_sum(case.input) != after.header_sum(output) {
        return Err("the quoted header checksum is off by more or less than before".to_owned());
    }
    if before.transport_sum(case.input) != after.transport_sum(output) {
        return Err("the quoted transport checksum is off by more or less than before".to_owned());
    }
    Ok(())
}

/// Whether nothing differs but what a translation changes.
pub(super) fn only_headers_change(
    case: &Case<'_>,
    packet: &Reading,
    quoted: Option<&Reading>,
    output: &[u8],
) -> Result<(), String> {
    let mut restored = output.to_vec();
    let mut restore = |range: Range<usize>| {
        let end = range.end.min(restored.len());
        let range = range.start.min(end)..end;
        restored[range.clone()].copy_from_slice(&case.input[range]);
    };
    // Judged by itself.
    restore(0..case.ip());
    restore(packet.ttl_at()..packet.ttl_at() + 1);
    for packet in std::iter::once(packet).chain(quoted) {
        restore(packet.addresses());
        if packet.is_v4() {
            restore(packet.ip + 10..packet.ip + 12);
        }
        if packet.ports.is_some() {
            restore(packet.transport..packet.transport + 4);
        }
        if let Some(checksum) = packet.checksum() {
            restore(checksum);
        }
    }
    if restored == case.input {
        Ok(())
    } else {
        Err("something other than addresses, ports, checksums and hop limit changed".to_owned())
    }
}

/// Whether the frame of `output` goes back to where that of `input` came from.
pub(super) fn goes_back(input: &[u8], output: &[u8]) -> bool {
    output[..6] == input[6..12] && output[6..12] == input[..6] && output[12..14] == input[12..14]
}

/// Whether the checksums of `answer`, which `packet` has become, are right; else what is wrong. That of the
/// transport may still be left to the device, where the packet's looked so.
pub(super) fn sums_of_answer_hold(
    input: &[u8],
    packet: &Reading,
    output: &[u8],
    answer: &Reading,
) -> Result<(), &'static str> {
    if answer.header_sum(output).is_some_and(|sum| sum != 0) {
        Err("has a wrong header checksum")
    } else if answer.transport_sum(output) != Some(0) && !packet.looks_left_to_device(input) {
        Err("has a wrong checksum")
    } else {
        Ok(())
    }
}
