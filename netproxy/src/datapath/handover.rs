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
    bits: u32,
}

impl Handover {
    /// Opens the map. What an earlier process was about to do when it ended is nobody's any more.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        let map = loaded.take(MAP)?;
        let mut handover = Self { map, bits: 0 };
        handover.write(0)?;
        Ok(handover)
    }

    /// Whether datagrams of flows that are not known are left to another proxy, and noted as its.
    pub(super) fn leave_datagrams(&mut self, is_on: bool) -> Result<(), DatapathError> {
        self.set(HandoverFlags::LEAVES_DATAGRAMS, is_on)
    }

    /// Whether TCP segments of connections that are not known are answered with a reset.
    pub(super) fn reset_unknown(&mut self, is_on: bool) -> Result<(), DatapathError> {
        self.set(HandoverFlags::RESETS_UNKNOWN, is_on)
    }

    /// Whether they are.
    pub(super) fn resets_unknown(&self) -> bool {
        self.bits & HandoverFlags::RESETS_UNKNOWN != 0
    }

    fn set(&mut self, flag: u32, is_on: bool) -> Result<(), DatapathError> {
        let bits = if is_on {
            self.bits | flag
        } else {
            self.bits & !flag
        };
        if bits == self.bits {
            return Ok(());
        }
        self.write(bits)
    }

    fn write(&mut self, bits: u32) -> Result<(), DatapathError> {
        batch::update(&self.map, &[(0_u32, bits)]).map_err(DatapathError::map(MAP, "written"))?;
        self.bits = bits;
        Ok(())
    }
}
