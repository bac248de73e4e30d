//! How many flows that no client has confirmed may be in `FLOWS_*`: each CPU counts its own, and each walk of the flow
//! table puts the counts right.

use std::fmt;

use aya::maps::{Map, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use netproxy_common::turnover::CLOSED_FLOWS;
use netproxy_common::{FlowKind, FlowState, Turnover};

use super::load::Loaded;
use super::{DatapathError, FlowTally};
use crate::model::Family;

const MAP: &str = "TURNOVER";
/// The part of the flows there is room for that may be such as no client has confirmed, and as large a part that may be
/// closed: one in so many. The rest is for those that last.
const PART: u32 = 4;
/// So many closed flows are enough for each CPU: one that strays does so for tenths of a second, and at ten thousand
/// connections a second the memory of more than this is in no cache when it is used again.
const MOST_CLOSED_EACH: u32 = 4096;

/// The map in the kernel.
pub(super) struct Turnovers(PerCpuArray<MapData, Turnover>);

impl fmt::Debug for Turnovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turnovers").finish_non_exhaustive()
    }
}

/// What the programs are told of their parts, where the flow table's maps have these sizes.
pub(super) fn parts(sizes: impl Iterator<Item = (&'static str, u32)>) -> [(&'static str, u32); 2] {
    let flows = sizes.filter(|(name, _)| name.starts_with("FLOWS_"));
    let entries = flows.map(|(_, entries)| entries).min().unwrap_or(0);
    parts_of(entries, cpus())
}

/// A flow is two entries.
fn parts_of(entries: u32, cpus: u32) -> [(&'static str, u32); 2] {
    let most = entries / 2 / PART;
    let closed = most.min(CLOSED_FLOWS) / cpus;
    [
        ("MOST_OPENING", most / cpus),
        ("CLOSED_PER_CPU", closed.clamp(1, MOST_CLOSED_EACH)),
    ]
}

fn cpus() -> u32 {
    let cpus = nr_cpus().unwrap_or(1);
    u32::try_from(cpus).unwrap_or(u32::MAX).max(1)
}

impl Turnovers {
    /// Goes on with the counts that there are.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        PerCpuArray::try_from(Map::PerCpuArray(loaded.take(MAP)?))
            .map(Self)
            .map_err(failed("opened"))
    }

    /// Spreads over the CPUs what a walk has seen: which of them has counted a flow is not known.
    pub(super) fn correct(&mut self, seen: &FlowTally) -> Result<(), DatapathError> {
        for (number, family) in (0..).zip([Family::V4, Family::V6]) {
            let opening = seen.classes.iter().filter(|(class, _)| {
                class.family == family
                    && class.is_assured
                    && class.state == FlowState::Opening
                    && class.kind != FlowKind::Foreign
            });
            let opening: u32 = opening.map(|(_, flows)| *flows).sum();
            let each = opening.div_ceil(cpus());
            let found = self.0.get(&number, 0).map_err(failed("read"))?;
            let values = found.iter().map(|it| Turnover {
                opening: each,
                ..*it
            });
            PerCpuValues::try_from(values.collect::<Vec<_>>())
                .map_err(DatapathError::map(MAP, "written"))
                .and_then(|values| self.0.set(number, values, 0).map_err(failed("written")))?;
        }
        Ok(())
    }
}

fn failed(what: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |error| DatapathError::map(MAP, what)(std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_table_is_for_flows_that_last() {
        for (entries, cpus) in [(262_144, 2), (1 << 24, 64), (100, 3)] {
            let [(_, opening), (_, closed)] = parts_of(entries, cpus);

            assert!((opening + closed) * cpus * 2 <= entries / 2, "{entries}");
            assert!(opening > 0 && closed > 0, "{entries}");
        }
    }

    #[test]
    fn no_cpu_notes_closed_flows_in_the_part_of_another() {
        for cpus in [1, 2, 3, 1000, CLOSED_FLOWS] {
            let [_, (_, each)] = parts_of(1 << 20, cpus);

            assert!(each * cpus <= CLOSED_FLOWS);
        }
    }

    #[test]
    fn a_large_table_remembers_no_more_closed_flows_than_caches_hold() {
        let [_, (_, each)] = parts_of(1 << 20, 2);

        assert_eq!(each, MOST_CLOSED_EACH);
    }
}
