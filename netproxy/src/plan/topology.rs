//! Hints: which endpoints this node should prefer (KEP-2433, KEP-3015, KEP-4444).

use super::NodeView;
use super::join::Joined;
use crate::model::{Endpoint, Hints, Label};

/// What the hints of a port's ready endpoints ask of this node, all of them taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preference<'a> {
    /// No preference: any endpoint.
    Anywhere,
    /// Endpoints hinted for this node.
    Node(&'a Label),
    /// Endpoints hinted for this zone.
    Zone(&'a Label),
}

impl<'a> Preference<'a> {
    /// The preference that `endpoints` express for `node`.
    ///
    /// A kind of hint counts only if every ready endpoint has one and at least one of them names
    /// this node (or its zone): a single endpoint without a hint means that whoever wrote the
    /// slices is not done, and filtering might overload the few that have one.
    pub(super) fn of(endpoints: &[Joined<'_>], node: &'a NodeView) -> Self {
        let NodeView { name, zone, .. } = node;
        let mut by_node = Coverage::new(Some(name));
        let mut by_zone = Coverage::new(zone.as_ref());
        for joined in endpoints.iter().filter(|joined| joined.endpoint.ready) {
            let Some(Hints { nodes, zones }) = joined.endpoint.hints.as_deref() else {
                return Self::Anywhere;
            };
            by_node.add(nodes);
            by_zone.add(zones);
            if !by_node.is_complete && !by_zone.is_complete {
                return Self::Anywhere;
            }
        }
        match (by_node.preferred(), by_zone.preferred()) {
            (Some(name), _) => Self::Node(name),
            (None, Some(zone)) => Self::Zone(zone),
            (None, None) => Self::Anywhere,
        }
    }

    /// Whether `endpoint` is among the preferred ones.
    pub(super) fn admits(self, endpoint: &Endpoint) -> bool {
        let hints = endpoint.hints.as_deref();
        match self {
            Self::Anywhere => true,
            Self::Node(name) => hints.is_some_and(|hints| hints.nodes.contains(name)),
            Self::Zone(zone) => hints.is_some_and(|hints| hints.zones.contains(zone)),
        }
    }
}

/// How far one kind of hint covers the endpoints seen so far.
struct Coverage<'a> {
    /// What hints must name to concern this node.
    wanted: Option<&'a Label>,
    /// Every endpoint had a hint of this kind.
    is_complete: bool,
    /// At least one hint named `wanted`.
    is_hit: bool,
}

impl<'a> Coverage<'a> {
    fn new(wanted: Option<&'a Label>) -> Self {
        Self {
            wanted,
            is_complete: true,
            is_hit: false,
        }
    }

    fn add(&mut self, hints: &[Label]) {
        self.is_complete &= !hints.is_empty();
        self.is_hit = self.is_hit || self.wanted.is_some_and(|wanted| hints.contains(wanted));
    }

    fn preferred(&self) -> Option<&'a Label> {
        self.wanted.filter(|_| self.is_complete && self.is_hit)
    }
}
