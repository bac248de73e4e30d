//! What an operator must act on, told by events of this node: at most one a minute of each cause. The log has
//! every one.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::source::{Event, Events, Regarding};

/// How long to be silent about a cause that was told.
const SILENCE: Duration = Duration::from_mins(1);

/// What it is about. Each is described in docs/operations.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    /// The kernel refuses a part of the wanted state.
    ChangesRefused,
    /// The maps held something else than what was written.
    MapsRepaired,
    /// A device is not attached.
    DeviceNotServed,
    /// `nodePortAddresses` selects no address of this node.
    NoNodePortAddress,
    /// A service that is to be balanced consistently is not, as there is no table for it.
    BalancedAtRandom,
    /// The tier of flows that nothing evicts has little room left.
    FlowTableFull,
    /// Towards some endpoint no source port is free.
    SourcePortsExhausted,
}

impl Cause {
    const fn reason(self) -> &'static str {
        match self {
            Self::ChangesRefused => "ChangesRefused",
            Self::MapsRepaired => "MapsRepaired",
            Self::DeviceNotServed => "DeviceNotServed",
            Self::NoNodePortAddress => "NoNodePortAddress",
            Self::BalancedAtRandom => "BalancedAtRandom",
            Self::FlowTableFull => "FlowTableFull",
            Self::SourcePortsExhausted => "SourcePortsExhausted",
        }
    }

    /// What was being done.
    const fn action(self) -> &'static str {
        match self {
            Self::ChangesRefused | Self::MapsRepaired | Self::BalancedAtRandom => "Sync",
            Self::DeviceNotServed => "Attach",
            Self::NoNodePortAddress => "SelectAddresses",
            Self::FlowTableFull | Self::SourcePortsExhausted => "Translate",
        }
    }
}

/// Who tells them.
#[derive(Debug)]
pub(super) struct Warnings {
    events: Events,
    told: FxHashMap<Cause, Instant>,
}

impl Warnings {
    pub(super) fn new(events: Events) -> Self {
        Self {
            events,
            told: FxHashMap::default(),
        }
    }

    /// Tells it, unless the cause was told less than a minute ago.
    pub(super) fn tell(&mut self, cause: Cause, note: String) {
        let now = Instant::now();
        if self
            .told
            .get(&cause)
            .is_some_and(|told| now < *told + SILENCE)
        {
            return;
        }
        self.told.insert(cause, now);
        self.events.tell(Event {
            regarding: Regarding::Node,
            is_warning: true,
            reason: cause.reason(),
            action: cause.action(),
            note,
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cause_is_told_once_a_minute_whatever_others_are() {
        let (events, mut told) = Events::channel();
        let mut warnings = Warnings::new(events);

        warnings.tell(Cause::MapsRepaired, "first".to_owned());
        warnings.tell(Cause::MapsRepaired, "too soon".to_owned());
        warnings.tell(Cause::ChangesRefused, "another".to_owned());
        time::advance(SILENCE).await;
        warnings.tell(Cause::MapsRepaired, "later".to_owned());

        let notes: Vec<_> = std::iter::from_fn(|| told.try_recv().ok().map(|it| it.note)).collect();
        assert_eq!(notes, ["first", "another", "later"]);
    }
}
