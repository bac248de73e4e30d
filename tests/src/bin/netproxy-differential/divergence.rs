//! What a run finds: failures, and what was seen beside them.

use std::collections::BTreeMap;

use netproxy_lab::probe::Means;

use crate::{
    difference::Difference,
    outcome::Outcome,
    question::{Question, Target},
};

/// Something that is not the same, and not meant.
#[derive(Clone, Debug)]
pub(crate) struct Divergence {
    /// From 0.
    pub(crate) step: usize,
    pub(crate) question: Question,
    pub(crate) target: Target,
    /// What kube-proxy did.
    pub(crate) kube: String,
    /// What netproxy did.
    pub(crate) netproxy: String,
    /// What is the same in all failures of one cause, as far as that can be told.
    pub(crate) signature: String,
}

/// What a run has to say beside its failures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Frontends that were asked.
    pub(crate) asked: usize,
    /// What looked like a failure at first.
    pub(crate) asked_again: usize,
    /// Deliberate differences that were seen.
    pub(crate) deliberate: BTreeMap<Difference, usize>,
}

/// What is common to the failures of one cause: who asks what, and how both sides end.
pub(crate) fn signature(
    question: &Question,
    target: Target,
    kube: &Outcome,
    netproxy: &Outcome,
) -> String {
    let means = match question.means {
        Means::Tcp => "TCP",
        Means::Udp => "UDP",
        Means::Echo => "ICMP echo",
    };
    let who = format!(
        "{means} from {:?} to {:?}",
        question.vantage, target.destination
    );
    let (kube_verdict, verdict) = (kube.verdict(), netproxy.verdict());
    let how = if kube_verdict != verdict {
        format!("kube-proxy: {kube_verdict}; netproxy: {verdict}")
    } else if question.is_sticky && (kube.answers.len() == 1) != (netproxy.answers.len() == 1) {
        "affinity holds in one only".to_owned()
    } else if kube.answers.keys().ne(netproxy.answers.keys()) {
        "answered by others".to_owned()
    } else {
        "another source address".to_owned()
    };
    format!("{who}: {how}")
}
