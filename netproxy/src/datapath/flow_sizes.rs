//! How large the flow table is: it follows the machine's memory, as the kernel's conntrack does
//! (`nf_conntrack_init_start`), unless somebody says so.

use std::str::FromStr;

use nix::sys::sysinfo::sysinfo;
use thiserror::Error;

use super::MapSize;
use super::map_size::MOST_ENTRIES;

/// Memory for which there is room for one half of a flow. A half takes 112 bytes of IPv4 and 144 of IPv6 once it is
/// there, and the empty table 16 bytes for each: what is seldom touched is seldom in a cache, so there is no more than
/// is of use.
const BYTES_PER_ASSURED: u64 = 64 << 10;
/// The same for the tier that takes what a flood opens, whose memory is taken at once.
const BYTES_PER_PENDING: u64 = 128 << 10;
/// As many flows as kube-proxy sees to (`conntrack.min`), in halves.
const LEAST_ASSURED: u32 = 2 * 131_072;
const LEAST_PENDING: u32 = 65_536;
/// A flood of a million packets a second turns this over in a quarter of a second, longer than a client
/// needs to answer.
const MOST_PENDING: u32 = 524_288;

/// How many assured flows of each family there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowsMax(u32);

/// Not a number of flows that the table can be made for.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no number of flows from 1 to {most}", most = MOST_ENTRIES / 2)]
pub struct FlowsMaxError(String);

impl FlowsMax {
    /// Of so many flows.
    ///
    /// # Errors
    /// Where no map can hold them.
    pub fn new(flows: u32) -> Result<Self, FlowsMaxError> {
        if (1..=MOST_ENTRIES / 2).contains(&flows) {
            Ok(Self(flows))
        } else {
            Err(FlowsMaxError(flows.to_string()))
        }
    }

    /// What that means for the maps: a flow is two entries.
    #[must_use]
    pub fn map_sizes(self) -> [MapSize; 2] {
        assured(self.0 * 2)
    }
}

impl FromStr for FlowsMax {
    type Err = FlowsMaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || FlowsMaxError(text.to_owned());
        text.parse().map_err(|_| error()).and_then(Self::new)
    }
}

/// The sizes of the flow table's maps on this machine; none where its memory is not known.
pub(super) fn of_machine() -> Vec<MapSize> {
    sysinfo().map_or_else(|_| Vec::new(), |info| by_memory(info.ram_total()))
}

fn by_memory(bytes: u64) -> Vec<MapSize> {
    let entries = |bytes_each: u64, least: u32, most: u32| {
        let entries = u32::try_from(bytes / bytes_each).unwrap_or(u32::MAX);
        entries.clamp(least, most)
    };
    let pending = entries(BYTES_PER_PENDING, LEAST_PENDING, MOST_PENDING);
    let mut sizes: Vec<_> = assured(entries(BYTES_PER_ASSURED, LEAST_ASSURED, MOST_ENTRIES)).into();
    sizes.extend(["PENDING_V4", "PENDING_V6"].map(|map| MapSize {
        map,
        entries: pending,
    }));
    sizes
}

fn assured(entries: u32) -> [MapSize; 2] {
    ["FLOWS_V4", "FLOWS_V6"].map(|map| MapSize { map, entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(bytes: u64) -> [u32; 2] {
        let sizes = by_memory(bytes);
        [sizes[0].entries, sizes[2].entries]
    }

    #[test]
    fn the_flow_table_follows_the_machines_memory_between_bounds() {
        assert_eq!(entries(1 << 30), [262_144, 65_536]);
        assert_eq!(entries(32 << 30), [524_288, 262_144]);
        assert_eq!(entries(1 << 40), [MOST_ENTRIES, MOST_PENDING]);
    }

    #[test]
    fn a_number_of_flows_is_twice_as_many_entries() {
        let flows: FlowsMax = "1000".parse().unwrap();

        let sizes = flows.map_sizes();

        assert_eq!(
            sizes,
            ["FLOWS_V4=2000", "FLOWS_V6=2000"].map(|size| size.parse().unwrap())
        );
    }

    #[test]
    fn what_is_no_number_of_flows_is_refused_with_the_reason() {
        for text in ["0", "many", "8388609", "-1"] {
            let error = text.parse::<FlowsMax>().unwrap_err().to_string();
            assert!(error.contains("from 1 to 8388608"), "{error}");
        }
    }
}
