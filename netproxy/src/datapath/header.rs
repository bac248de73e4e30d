//! Headers of ranges: what `SERVICES` and `RANGES` say of one service port.

use netproxy_common::{Range, RangeFlags, Service};

use super::mapped::Mapped;
use crate::model::{Balancing, Family};
use crate::plan::{WantedPort, WantedRange};

/// The range in force for a service id, with its index.
pub(super) fn live_range(
    words: &Mapped<Service>,
    headers: &Mapped<Range>,
    id: u32,
) -> Option<(u32, Range)> {
    let word = words.get(id).filter(|word| word.range != 0)?;
    let range = headers
        .get(word.range)
        .filter(|range| range.service == id)?;
    Some((word.range, range))
}

/// Whether the range's endpoints are IPv6.
pub(super) fn is_v6(range: &Range) -> bool {
    range.flags & RangeFlags::IPV6 != 0
}

/// Number of endpoints in a range.
pub(super) fn length(range: &Range) -> u32 {
    let [.., end] = range.segment_ends;
    end
}

/// The header of service `id`'s endpoints from slot `base`, with the source ranges of this set and the table of this
/// number.
pub(super) fn header(
    id: u32,
    base: u32,
    (source_ranges, table): (u32, u32),
    port: &WantedPort,
) -> Range {
    let WantedRange {
        endpoints: _,
        segment_ends,
        internal,
        external_cluster,
        external_local,
        verdicts,
        is_external_local,
        affinity_s,
        source_ranges: _,
        masquerades_internal,
        masquerades_external,
        internal_balancing,
        external_balancing,
    } = &port.range;
    let mut flags = 0;
    if *is_external_local {
        flags |= RangeFlags::EXTERNAL_LOCAL;
    }
    if port.key.family == Family::V6 {
        flags |= RangeFlags::IPV6;
    }
    if *masquerades_internal {
        flags |= RangeFlags::MASQUERADE_INTERNAL;
    }
    if *masquerades_external {
        flags |= RangeFlags::MASQUERADE_EXTERNAL;
    }
    if table != 0 && *internal_balancing == Balancing::Consistent {
        flags |= RangeFlags::CONSISTENT_INTERNAL;
    }
    if table != 0 && *external_balancing == Balancing::Consistent {
        flags |= RangeFlags::CONSISTENT_EXTERNAL;
    }
    Range {
        base,
        service: id,
        segment_ends: *segment_ends,
        internal: *internal,
        external_cluster: *external_cluster,
        external_local: *external_local,
        verdicts: verdicts.map(|verdict| verdict as u8),
        flags,
        affinity_s: *affinity_s,
        source_ranges,
        table,
        #[cfg(feature = "other-layout")]
        new: [0; 2],
    }
}
