//! Whether two outcomes are the same, deliberately different, or a failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use netproxy_lab::probe::Reply;
use nix::libc;

use crate::{
    case::Server,
    difference::{self, Difference},
    outcome::{Answerer, Outcome},
    question::{Question, Target},
};

/// What two answers to one question come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Same,
    /// Not the same, and meant.
    Deliberate(BTreeSet<Difference>),
    /// Not meant.
    Divergent,
}

/// Compares two outcomes at one frontend.
pub(crate) fn judge(
    question: &Question,
    target: Target,
    kube: &Outcome,
    netproxy: &Outcome,
) -> Judgement {
    if question.is_sticky && kube.is_answered() && netproxy.is_answered() {
        return judge_sticky(question, target, kube, netproxy);
    }
    if kube == netproxy {
        return Judgement::Same;
    }
    let (expected, differences) = difference::expected(question, target, kube, netproxy);
    if expected == *netproxy {
        Judgement::Deliberate(differences)
    } else {
        Judgement::Divergent
    }
}

/// Whom one sticks to is chance; that one sticks is not.
fn judge_sticky(
    question: &Question,
    target: Target,
    kube: &Outcome,
    netproxy: &Outcome,
) -> Judgement {
    let is_one =
        |outcome: &Outcome| outcome.answers.len() == 1 && !outcome.is_silent && !outcome.is_refused;
    if is_one(kube) != is_one(netproxy) {
        return Judgement::Divergent;
    }
    if kube.answers.keys().ne(netproxy.answers.keys()) || kube == netproxy {
        return Judgement::Same;
    }
    let (expected, differences) = difference::expected(question, target, kube, netproxy);
    if expected == *netproxy {
        Judgement::Deliberate(differences)
    } else {
        Judgement::Divergent
    }
}

/// Whether one sticks to the same endpoint at every frontend of a port, where all have the same set:
/// true unless kube-proxy's clients do and netproxy's do not.
pub(crate) fn sticks_alike(question: &Question, kube: &[Outcome], netproxy: &[Outcome]) -> bool {
    if !question.is_sticky || !question.has_one_set {
        return true;
    }
    let mut by_entry: BTreeMap<_, [BTreeSet<Answerer>; 2]> = BTreeMap::new();
    for (target, outcomes) in question.targets.iter().zip(kube.iter().zip(netproxy)) {
        let sets = by_entry
            .entry(target.destination.entry(question.vantage))
            .or_default();
        for (set, outcome) in sets.iter_mut().zip([outcomes.0, outcomes.1]) {
            set.extend(outcome.answers.keys());
        }
    }
    by_entry
        .values()
        .all(|[kube, netproxy]| kube.len() != 1 || netproxy.len() <= 1)
}

/// What became of a flow over a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// The same endpoint answers.
    Stayed,
    /// Another answers.
    Moved,
    /// The first answer ever.
    Found,
    Refused,
    Silent,
    /// The socket is no longer connected: somebody has ended it.
    Ended,
    Failed,
}

/// The fates of the flows of one question, by the endpoint that they had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fates(BTreeMap<Option<Answerer>, BTreeSet<Fate>>);

impl Fates {
    /// From the replies before and after the change, socket by socket.
    pub(crate) fn of(before: &[Reply], after: &[Reply]) -> Self {
        let mut fates = Self::default();
        for (before, after) in before.iter().zip(after) {
            let had = answerer(before);
            let fate = match (after, &had) {
                (Reply::Answered { .. }, None) => Fate::Found,
                (Reply::Answered { .. }, _) if answerer(after) == had => Fate::Stayed,
                (Reply::Answered { .. }, Some(_)) => Fate::Moved,
                (Reply::Refused, _) => Fate::Refused,
                (Reply::Silent, _) => Fate::Silent,
                (Reply::Failed(error), _) if has_ended(error) => Fate::Ended,
                (Reply::Failed(_), _) => Fate::Failed,
            };
            fates.0.entry(had).or_default().insert(fate);
        }
        fates
    }
}

impl fmt::Display for Fates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.iter().map(|(had, fates)| {
            let had = had.as_ref().map_or_else(
                || "nobody".to_owned(),
                |(server, port)| format!("{}:{port}", server.name()),
            );
            format!("flows to {had}: {fates:?}")
        });
        formatter.write_str(&words.collect::<Vec<_>>().join(", "))
    }
}

/// Whether it is `ECONNABORTED`, or what a socket says that is not connected any more.
fn has_ended(error: &str) -> bool {
    [libc::ECONNABORTED, libc::EDESTADDRREQ]
        .iter()
        .any(|number| error.contains(&format!("(os error {number})")))
}

fn answerer(reply: &Reply) -> Option<Answerer> {
    match reply {
        Reply::Answered { endpoint, port, .. } => Some((Server::from_name(endpoint)?, *port)),
        Reply::Refused | Reply::Silent | Reply::Failed(_) => None,
    }
}

/// Compares the fates of flows that had the same endpoint in both.
pub(crate) fn judge_fates(question: &Question, kube: &Fates, netproxy: &Fates) -> Judgement {
    let mut differences = BTreeSet::new();
    for (had, kube) in &kube.0 {
        let Some(netproxy) = netproxy.0.get(had) else {
            continue;
        };
        let is_chance = had.is_some_and(|had| question.fickle.contains(&had));
        if kube == netproxy || is_chance {
            continue;
        }
        // On a busy machine netfilter may have forgotten one of several: that has ended there in the same way.
        let stays = kube.contains(&Fate::Stayed)
            && kube
                .iter()
                .all(|fate| *fate == Fate::Stayed || netproxy.contains(fate));
        let ends = netproxy
            .iter()
            .all(|fate| matches!(fate, Fate::Refused | Fate::Silent | Fate::Moved));
        let is_empty = question.serving == 0;
        if is_empty && stays && ends {
            differences.insert(Difference::EmptyServiceEndsFlows);
        } else if question.at_sockets
            && *netproxy == [Fate::Ended].into()
            && (is_empty || !kube.contains(&Fate::Stayed))
        {
            differences.insert(Difference::StaleSocketsEnd);
        } else {
            return Judgement::Divergent;
        }
    }
    if differences.is_empty() {
        Judgement::Same
    } else {
        Judgement::Deliberate(differences)
    }
}

#[cfg(test)]
mod tests;
