//! `PAUSE`: until when programs open no flow, as the flow table is copied for others, and while some hooks have programs
//! that keep theirs in other maps.

use std::path::Path;
use std::time::Duration;

use aya::maps::MapData;
use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};

use super::contents::open_if_pinned;
use super::grace::wait_for_grace_period;
use super::{DatapathError, batch};

/// Its map.
pub(super) const NAME: &str = "PAUSE";

/// How long programs wait at most, if nobody takes it back: longer than it takes to copy what has changed in a full
/// flow table, and shorter than a client is willing to wait.
pub(super) const LONGEST: Duration = Duration::from_secs(2);

/// The pause of the programs that share one map.
#[derive(Debug)]
pub(super) struct Pause {
    map: MapData,
    until_ns: u64,
}

impl Pause {
    /// That of the programs whose map is pinned there. None: they are of a release that does not know of it.
    pub(super) fn open(pin: &Path) -> Result<Option<Self>, DatapathError> {
        let map = open_if_pinned(pin).map_err(DatapathError::map(NAME, "opened"))?;
        Ok(map.map(|map| Self { map, until_ns: 0 }))
    }

    /// Begins it, or makes it longer; none of the programs opens a flow any more when this returns.
    pub(super) fn begin(&mut self, longest: Duration) -> Result<(), DatapathError> {
        let nanoseconds = u64::try_from(longest.as_nanos()).unwrap_or(0);
        self.until_ns = now_ns() + nanoseconds;
        self.write(self.until_ns)?;
        wait_for_grace_period().map_err(DatapathError::map(NAME, "waited for (membarrier)"))
    }

    /// Whether at least half of it is left.
    pub(super) fn is_young(&self) -> bool {
        let half = u64::try_from(LONGEST.as_nanos() / 2).unwrap_or(0);
        now_ns() + half < self.until_ns
    }

    /// Ends it at once.
    pub(super) fn end(&self) -> Result<(), DatapathError> {
        self.write(0)
    }

    fn write(&self, until_ns: u64) -> Result<(), DatapathError> {
        batch::update(&self.map, &[(0_u32, until_ns)]).map_err(DatapathError::map(NAME, "written"))
    }
}

/// `CLOCK_MONOTONIC`.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok();
    now.and_then(|now| u64::try_from(now.num_nanoseconds()).ok())
        .unwrap_or(0)
}
