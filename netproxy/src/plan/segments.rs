//! Endpoints in seven segments, and the windows over them.
//!
//! Every set of endpoints that kube-proxy's rules can ask for is a run of neighbouring segments:
//!
//! | set | segments |
//! |---|---|
//! | ready, preferred by hints | `LocalHinted..=RemoteHinted` |
//! | ready on this node, hints ignored | `LocalUnhinted..=LocalHinted` |
//! | none ready: terminating but serving | `LocalTerminating..=RemoteTerminating` |
//! | none ready on this node: terminating but serving there | `LocalTerminating` |
//!
//! "Hinted" means admitted by the [`Preference`]; without a preference every ready endpoint is.

use netproxy_common::service::SEGMENTS;
use netproxy_common::{Verdict, Window};

use super::join::Joined;
use super::topology::Preference;
use super::{NodeView, WantedEndpoint};
use crate::model::Endpoint;

/// The endpoints of one service port, segment after segment.
#[derive(Debug)]
pub(super) struct Segments {
    /// Sorted by segment, then by (address, port).
    pub(super) endpoints: Vec<WantedEndpoint>,
    /// Where each segment ends.
    pub(super) ends: [u32; SEGMENTS],
}

/// A segment's place in the order of `netproxy_common::service::SEGMENTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    LocalUnhinted,
    LocalHinted,
    RemoteHinted,
    RemoteUnhinted,
    LocalTerminating,
    RemoteTerminating,
    /// Serving, but neither ready nor terminating: no new flow may choose it, a flow or a client
    /// that already uses it may stay.
    NeverChosen,
}

const _: () = assert!(Segment::NeverChosen as usize + 1 == SEGMENTS);

impl Segments {
    /// Sorts `joined`, which must be in the order of (address, port), into segments. Endpoints
    /// that are neither ready nor serving are left out.
    pub(super) fn new(joined: &[Joined<'_>], node: &NodeView) -> Self {
        let preference = Preference::of(joined, node);
        let mut ends = [0; SEGMENTS];
        let mut placed = Vec::with_capacity(joined.len());
        for entry in joined {
            let is_local = node.hosts(entry.endpoint);
            let Some(segment) = Segment::of(entry.endpoint, is_local, preference) else {
                continue;
            };
            ends[segment as usize] += 1;
            let endpoint = WantedEndpoint {
                address: entry.address,
                port: entry.port,
                is_local,
            };
            placed.push((segment, endpoint));
        }
        for segment in 1..SEGMENTS {
            ends[segment] += ends[segment - 1];
        }
        // Stable, so that the order of (address, port) remains inside each segment.
        placed.sort_by_key(|(segment, _)| *segment);
        Self {
            endpoints: placed.into_iter().map(|(_, endpoint)| endpoint).collect(),
            ends,
        }
    }

    /// The endpoints of policy Cluster: the preferred ready ones, else (none is ready anywhere)
    /// all that still serve while terminating.
    pub(super) fn cluster(&self) -> Window {
        self.first_filled([
            (Segment::LocalHinted, Segment::RemoteHinted),
            (Segment::LocalTerminating, Segment::RemoteTerminating),
        ])
    }

    /// The endpoints of policy Local: the ready ones of this node whatever their hints, else those
    /// of this node that still serve while terminating.
    pub(super) fn local(&self) -> Window {
        self.first_filled([
            (Segment::LocalUnhinted, Segment::LocalHinted),
            (Segment::LocalTerminating, Segment::LocalTerminating),
        ])
    }

    /// What an empty window means: dropped by policy if any node has a usable endpoint, else
    /// rejected.
    pub(super) fn verdict(&self) -> Verdict {
        if self.ends[Segment::RemoteTerminating as usize] > 0 {
            Verdict::Drop
        } else {
            Verdict::Reject
        }
    }

    /// The first run (from, to) that has an endpoint; empty if none has.
    fn first_filled(&self, runs: [(Segment, Segment); 2]) -> Window {
        runs.into_iter()
            .map(|(from, to)| self.window(from, to))
            .find(|window| window.count > 0)
            .unwrap_or_default()
    }

    /// The endpoints from the start of `from` to the end of `to`.
    fn window(&self, from: Segment, to: Segment) -> Window {
        let offset = (from as usize)
            .checked_sub(1)
            .map_or(0, |previous| self.ends[previous]);
        Window {
            offset,
            count: self.ends[to as usize] - offset,
        }
    }
}

impl Segment {
    /// Where `endpoint` belongs; None if nothing may use it.
    fn of(endpoint: &Endpoint, is_local: bool, preference: Preference<'_>) -> Option<Self> {
        if endpoint.ready {
            return Some(match (is_local, preference.admits(endpoint)) {
                (true, false) => Self::LocalUnhinted,
                (true, true) => Self::LocalHinted,
                (false, true) => Self::RemoteHinted,
                (false, false) => Self::RemoteUnhinted,
            });
        }
        match (endpoint.serving, endpoint.terminating, is_local) {
            (true, true, true) => Some(Self::LocalTerminating),
            (true, true, false) => Some(Self::RemoteTerminating),
            (true, false, _) => Some(Self::NeverChosen),
            (false, _, _) => None,
        }
    }
}
