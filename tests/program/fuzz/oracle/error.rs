//! What may become of an ICMP error.

use super::bytes::{only_headers_change, quoted_sums_stay};
use super::{Case, Fate, way};
use crate::fuzz::model::Model;
use crate::fuzz::reading::Reading;

/// Judges an ICMP error that was changed: it goes where answers to the quoted packet go.
pub(super) fn judge(
    model: &Model,
    case: &Case<'_>,
    before: &Reading,
    quoted: &Reading,
    code: i32,
    output: &[u8],
    after: &Reading,
) -> Result<Fate, String> {
    only_headers_change(case, before, Some(quoted), output)?;
    let told = quoted.tuple().ok_or("it quotes nothing with ports")?;
    let half = model
        .flows
        .half(told.reversed())
        .ok_or("it quotes no packet of a flow")?;
    way::of_half(case, half, code, output)?;
    if before.destination != quoted.source || !before.is_plain() {
        return Err("it is not addressed to whom it quotes".to_owned());
    }
    let turned = after
        .quoted(output)
        .and_then(|quoted| quoted.tuple())
        .ok_or("it quotes nothing any more")?;
    if turned != half.to.reversed() || after.destination != half.to.destination.ip() {
        return Err(format!("it tells of {turned:?}, where there is {half:?}"));
    }
    let is_from = |address| after.source == address;
    let keeps_source = !half.is_reply && is_from(before.source);
    if !is_from(half.to.source.ip()) && !keeps_source {
        return Err(format!("it comes from {}", after.source));
    }
    quoted_sums_stay(case, quoted, output)?;
    Ok(if half.is_reply {
        Fate::ErrorAboutForward(half.kind)
    } else {
        Fate::ErrorAboutReply(half.kind)
    })
}
