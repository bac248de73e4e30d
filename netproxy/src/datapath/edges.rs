//! `NO_EDGE_BEFORE`: the programs look for answers of edge flows where packets leave only while there may be such flows.

use aya::maps::MapData;
use netproxy_common::FlowKind;

use super::flow_table::InUse;
use super::load::Loaded;
use super::{DatapathError, batch};
use crate::model::Family;

const MAP: &str = "NO_EDGE_BEFORE";

/// By how many seconds a flow may be in the table later than `EDGE_OPENED` says: programs note the time first, and of
/// two CPUs the earlier time may win.
const MARGIN_S: u32 = 2;

/// The map.
#[derive(Debug)]
pub(super) struct Edges {
    map: MapData,
}

impl Edges {
    /// Opens the map. Until the table is walked nothing is known: who was here before may have opened flows without
    /// saying so.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        let edges = Self {
            map: loaded.take(MAP)?,
        };
        edges.write([0; 2])?;
        Ok(edges)
    }

    /// Takes note of a whole walk of the flow table that began at `began_s`.
    pub(super) fn learn(&self, seen: &InUse, began_s: u32) -> Result<(), DatapathError> {
        let before_s = began_s.saturating_sub(MARGIN_S);
        let learnt = [Family::V4, Family::V6].map(|family| {
            if seen.kinds.contains(&(family, FlowKind::Edge)) {
                0
            } else {
                before_s
            }
        });
        self.write(learnt)
    }

    fn write(&self, [v4, v6]: [u32; 2]) -> Result<(), DatapathError> {
        batch::update(&self.map, &[(0_u32, v4), (1, v6)])
            .map_err(DatapathError::map(MAP, "written"))
    }
}
