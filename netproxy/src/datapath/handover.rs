//! `HANDOVER`: what the programs are told about another proxy on this node.

use aya::maps::MapData;
use netproxy_common::handover::HandoverFlags;

use super::load::Loaded;
use super::{DatapathError, batch};

const MAP: &str = "HANDOVER";

/// The map.
#[derive(Debug)]
pub(super) struct Handover {
    map: MapData,
}

impl Handover {
    /// Opens the map. What an earlier process was about to do when it ended is nobody's any more.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        let handover = Self {
            map: loaded.take(MAP)?,
        };
        handover.leave_datagrams(false)?;
        Ok(handover)
    }

    /// Whether datagrams of flows that are not known are left to another proxy, and noted as its.
    pub(super) fn leave_datagrams(&self, is_on: bool) -> Result<(), DatapathError> {
        let bits = if is_on {
            HandoverFlags::LEAVES_DATAGRAMS
        } else {
            0
        };
        batch::update(&self.map, &[(0_u32, bits)]).map_err(DatapathError::map(MAP, "written"))
    }
}
