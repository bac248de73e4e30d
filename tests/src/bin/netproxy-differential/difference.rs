//! The deliberate differences between the two, each as the exact answer of netproxy that follows from
//! kube-proxy's. What none of them explains is a failure.

use std::collections::BTreeSet;

use netproxy_lab::probe::Means;

use crate::{
    case::{Policy, Server},
    outcome::Outcome,
    question::{Destination, Question, Target},
    vantage::{Source, Vantage},
};

/// A difference that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// The endpoint sees the client where kube-proxy shows it the node.
    ClientAddressKept,
    /// A process that asks for a node port of its own node, or is sent to its own node, is not
    /// answered, unless its socket is balanced.
    NodeToItself,
    /// A pod whose socket is balanced, and that is sent to itself, sees itself.
    SeesItself,
    /// A pod of another node that comes to this node's node port is outside.
    RemotePodIsOutside,
    /// UDP flows end with their frontend, and when no endpoint of it serves any more.
    EmptyServiceEndsFlows,
    /// A UDP socket that is balanced ends when its endpoint serves no longer.
    StaleSocketsEnd,
}

impl Difference {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::ClientAddressKept => {
                "answers come back through this node anyway, so masquerading would only hide the client"
            }
            Self::NodeToItself => {
                "such packets go over lo, which has no hook; balancing at the socket serves them"
            }
            Self::SeesItself => {
                "such a connection never leaves the pod, so there is nothing to translate back"
            }
            Self::RemotePodIsOutside => {
                "a pod is local by its device: kube-proxy goes by the cluster CIDR, takes pods of all \
                 nodes for local, and sends them to endpoints whose answers they cannot understand"
            }
            Self::StaleSocketsEnd => {
                "the socket knows its endpoint, so it cannot be sent to another one without a word"
            }
            Self::EmptyServiceEndsFlows => {
                "a flow to nobody helps nobody: kube-proxy ends those of empty services from 1.37 on (the \
                 one compared with is 1.36), and those of frontends that are gone never"
            }
        }
    }
}

/// Makes of kube-proxy's outcome what netproxy's is to be.
type Step = fn(&Question, Target, &mut Outcome);

/// What netproxy is to answer where kube-proxy answers `kube`, and why that is not the same.
///
/// Of a pod of another node under the local policy kube-proxy's answer does not tell: endpoints
/// elsewhere are chosen, and their answers are lost. There `netproxy`'s is what is expected if it is one
/// that an outside client could get.
pub(crate) fn expected(
    question: &Question,
    target: Target,
    kube: &Outcome,
    netproxy: &Outcome,
) -> (Outcome, BTreeSet<Difference>) {
    if is_remote_pod(question, target) && !kube.is_refused && is_local(netproxy, target) {
        let differences = BTreeSet::from([Difference::RemotePodIsOutside]);
        return (netproxy.clone(), differences);
    }
    let packet: [(Difference, Step); 2] = [
        (Difference::NodeToItself, node_to_itself),
        (Difference::ClientAddressKept, client_address_kept),
    ];
    let socket: [(Difference, Step); 2] = [
        (Difference::SeesItself, sees_itself),
        (Difference::ClientAddressKept, client_address_kept),
    ];
    let way = Way::of(question, target);
    if way != Way::Packet {
        let expected = follow(&socket, question, target, kube);
        if way == Way::Socket || expected.0 == *netproxy {
            return expected;
        }
    }
    follow(&packet, question, target, kube)
}

/// By whom a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The packet hooks.
    Packet,
    /// The socket hooks.
    Socket,
    /// One of them: what the question does not tell decides.
    Either,
}

impl Way {
    fn of(question: &Question, target: Target) -> Self {
        let vantage = question.vantage;
        let means = question.means;
        let Some(node) = vantage.node() else {
            return Self::Packet;
        };
        if !question.at_sockets || means == Means::Echo {
            return Self::Packet;
        }
        match target.destination {
            Destination::NodePort(other) if other != node => Self::Packet,
            // A host knows its own address before there is a packet.
            Destination::NodePort(_) if vantage.is_host() => Self::Socket,
            _ if question.is_sticky => Self::Packet,
            // It may have source ranges.
            Destination::Vip => Self::Either,
            _ => Self::Socket,
        }
    }
}

fn follow(
    steps: &[(Difference, Step)],
    question: &Question,
    target: Target,
    kube: &Outcome,
) -> (Outcome, BTreeSet<Difference>) {
    let mut outcome = kube.clone();
    let mut differences = BTreeSet::new();
    for &(difference, apply) in steps {
        let before = outcome.clone();
        apply(question, target, &mut outcome);
        if outcome != before {
            differences.insert(difference);
        }
    }
    (outcome, differences)
}

fn client_address_kept(question: &Question, target: Target, outcome: &mut Outcome) {
    let is_masqueraded = match target.destination {
        Destination::ClusterIp => question.vantage == Vantage::Outside,
        destination => destination.is_external() && question.external_policy == Policy::Cluster,
    };
    if !is_masqueraded {
        return;
    }
    let entry = target.destination.entry(question.vantage);
    let is_local_pod = question.vantage.is_pod() && question.vantage.node() == Some(entry);
    for ((server, _), sources) in &mut outcome.answers {
        let is_hairpin = question.vantage.server() == Some(*server);
        let comes_back = is_local_pod || server.node() == entry;
        if comes_back && !is_hairpin && sources.remove(&Source::Node(entry)) {
            sources.insert(Source::Own);
        }
    }
}

fn sees_itself(question: &Question, target: Target, outcome: &mut Outcome) {
    let entry = target.destination.entry(question.vantage);
    let own = question.vantage.server().filter(|it| !it.is_host());
    for ((server, _), sources) in &mut outcome.answers {
        if Some(*server) == own && sources.remove(&Source::Node(entry)) {
            sources.insert(Source::Own);
        }
    }
}

fn node_to_itself(question: &Question, target: Target, outcome: &mut Outcome) {
    let node = question.vantage.node();
    if !question.vantage.is_host() || node != Some(target.destination.entry(question.vantage)) {
        return;
    }
    if matches!(target.destination, Destination::NodePort(_)) {
        // Nobody listens there.
        *outcome = Outcome::refused();
        return;
    }
    let own = question.vantage.server();
    let is_own = |server: Server| Some(server) == own;
    let before = outcome.answers.len();
    outcome.answers.retain(|(server, _), _| !is_own(*server));
    outcome.is_silent |= outcome.answers.len() < before;
}

/// Whether it is a pod that asks for another node's port under the local policy.
fn is_remote_pod(question: &Question, target: Target) -> bool {
    let Destination::NodePort(entry) = target.destination else {
        return false;
    };
    question.vantage.is_pod()
        && question.vantage.node() != Some(entry)
        && question.external_policy == Policy::Local
}

/// Whether endpoints of the entry's node answer who see the client, or nobody does.
fn is_local(outcome: &Outcome, target: Target) -> bool {
    let Destination::NodePort(entry) = target.destination else {
        return false;
    };
    let own = BTreeSet::from([Source::Own]);
    let mut answers = outcome.answers.iter();
    let is_whole = outcome.is_answered() != outcome.is_silent;
    is_whole
        && !outcome.is_refused
        && outcome.failures.is_empty()
        && answers.all(|((server, _), sources)| server.node() == entry && *sources == own)
}

#[cfg(test)]
mod tests;
