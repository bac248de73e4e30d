//! What is asked of a state: every frontend that the case has or had, from every vantage, and a few
//! places where nobody must answer.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use netproxy_lab::probe::{Means, Probe};

use crate::{
    case::{Case, Family, IpMode, NodeName, Policy, Port, Protocol, Service},
    outcome::Answerer,
    passage,
    slot::Slot,
    vantage::Vantage,
};

/// What kind of thing an address and port are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Destination {
    ClusterIp,
    NodePort(NodeName),
    Vip,
    ExternalIp,
    /// A port of a cluster IP that no service has.
    UnusedPort,
    /// A cluster IP that no service has.
    FreeClusterIp,
    /// The cluster IP itself, by ICMP.
    Ping,
}

impl Destination {
    /// Whether `externalTrafficPolicy` says who may answer.
    pub(crate) fn is_external(self) -> bool {
        matches!(self, Self::NodePort(_) | Self::Vip | Self::ExternalIp)
    }

    /// The node that translates what `vantage` sends here.
    pub(crate) fn entry(self, vantage: Vantage) -> NodeName {
        match self {
            Self::NodePort(node) => node,
            _ => vantage.gateway(),
        }
    }
}

/// A frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    pub(crate) destination: Destination,
    pub(crate) address: SocketAddr,
}

/// One probe, and what decides how it is to end.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) vantage: Vantage,
    pub(crate) means: Means,
    pub(crate) targets: Vec<Target>,
    /// Whether netproxy balances at the socket.
    pub(crate) at_sockets: bool,
    /// Under affinity only stickiness can be compared, not the endpoint.
    pub(crate) is_sticky: bool,
    /// UDP sockets that live on from one step to the next.
    pub(crate) is_kept: bool,
    pub(crate) external_policy: Policy,
    /// Whether the set of endpoints is the same for every frontend.
    pub(crate) has_one_set: bool,
    /// How many endpoints the port has, whatever their conditions.
    pub(crate) endpoints: usize,
    /// How many of them serve; none if the service is not there, or not in this way any more.
    pub(crate) serving: usize,
    /// Of kept sockets, those whose flows meet chance: kube-proxy ends those again and again that are or
    /// were chosen although they do not serve, and some are gone [between the writes](passage) of a step.
    pub(crate) fickle: BTreeSet<Answerer>,
}

/// How many sockets are kept per frontend.
const KEPT_SOCKETS: usize = 4;
/// An unused port of every cluster IP.
const UNUSED_PORT: u16 = 9;

impl Question {
    /// What a prober is ordered.
    pub(crate) fn probe(&self, care: Care) -> Probe {
        let tries = match (self.is_kept, self.is_sticky, self.endpoints) {
            (true, ..) => KEPT_SOCKETS,
            (_, true, _) => 5,
            (.., 0 | 1) => 2,
            // A set of n is seen whole but once in a few hundred times; then it is looked at again.
            (.., n) => 4 + 5 * n,
        };
        let (tries, failures, timeout_ms) = match care {
            Care::First => (tries, 2, 400),
            Care::Again { answered: false } => (1, 1, 1500),
            Care::Again { answered: true } if self.is_kept => (tries, tries, 700),
            Care::Again { answered: true } if self.is_sticky => (tries, tries - 1, 700),
            Care::Again { answered: true } => (10 + 12 * self.endpoints, usize::MAX, 500),
        };
        Probe {
            means: self.means,
            targets: self.targets.iter().map(|it| it.address).collect(),
            tries,
            failures,
            timeout_ms,
            kept_as: self.is_kept.then(|| format!("{:?}", self.means)),
        }
    }
}

/// What has to be alike in questions for them to show one and the same failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Focus {
    vantage: Vantage,
    means: Means,
    destination: Destination,
    is_kept: bool,
}

impl Focus {
    pub(crate) fn on(question: &Question, target: Target) -> Self {
        Self {
            vantage: question.vantage,
            means: question.means,
            destination: target.destination,
            is_kept: question.is_kept,
        }
    }

    /// Whether `question` is about it.
    pub(crate) fn has(self, question: &Question) -> bool {
        question
            .targets
            .iter()
            .any(|&target| Self::on(question, target) == self)
    }
}

/// How well a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Fast.
    First,
    /// What looked like a difference: often, if anybody `answered`, and with patience.
    Again { answered: bool },
}

/// Everything that is asked after `step`, of a case whose services are in `slots`.
pub(crate) fn all(
    case: &Case,
    step: usize,
    slots: &[Slot],
    node_ip: &dyn Fn(NodeName, Family) -> IpAddr,
) -> Vec<Question> {
    let mut questions = Vec::new();
    for (index, &slot) in slots.iter().enumerate() {
        let history: Vec<&Service> = case.steps[..=step]
            .iter()
            .map(|state| &state[index])
            .collect();
        let is_last_step = case.steps.len() == 1;
        Asking {
            history: &history,
            slot,
            node_ip,
        }
        .ask(!is_last_step, &mut questions);
    }
    for question in &mut questions {
        question.at_sockets = case.at_sockets;
    }
    questions
}

struct Asking<'a> {
    /// What the service was, the present last.
    history: &'a [&'a Service],
    slot: Slot,
    node_ip: &'a dyn Fn(NodeName, Family) -> IpAddr,
}

impl Asking<'_> {
    fn ask(&self, with_kept: bool, questions: &mut Vec<Question>) {
        let Some(&now) = self.history.last() else {
            return;
        };
        for &family in &now.families {
            let mut seen = BTreeSet::new();
            // The present first: what is asked of a port that is gone follows from it.
            for service in self.history.iter().rev() {
                for port in &service.ports {
                    let mut targets = self.frontends(service, port, family);
                    targets.retain(|it| seen.insert((port.protocol, *it)));
                    ask_port(now, port, family, &targets, questions);
                    if with_kept && port.protocol == Protocol::Udp {
                        keep_asking(self.history, port, family, &targets, questions);
                    }
                }
            }
            self.ask_nobody(now, family, questions);
        }
    }

    /// Where nobody is.
    fn ask_nobody(&self, now: &Service, family: Family, questions: &mut Vec<Question>) {
        let ip = self.slot.cluster_ip(family);
        let free = self.slot.free_cluster_ip(family);
        let Some(port) = now.ports.first() else {
            return;
        };
        let other = match port.protocol {
            Protocol::Tcp => Means::Udp,
            Protocol::Udp => Means::Tcp,
        };
        let has_other = now
            .ports
            .iter()
            .any(|it| it.number == port.number && means(it) == other);
        let mut asked = vec![
            (
                Means::Tcp,
                Destination::UnusedPort,
                SocketAddr::new(ip, UNUSED_PORT),
            ),
            (
                Means::Udp,
                Destination::UnusedPort,
                SocketAddr::new(ip, UNUSED_PORT),
            ),
            (
                Means::Tcp,
                Destination::FreeClusterIp,
                SocketAddr::new(free, port.number),
            ),
            (
                Means::Udp,
                Destination::FreeClusterIp,
                SocketAddr::new(free, port.number),
            ),
            (Means::Echo, Destination::Ping, SocketAddr::new(ip, 0)),
        ];
        if !has_other {
            asked.push((
                other,
                Destination::UnusedPort,
                SocketAddr::new(ip, port.number),
            ));
        }
        for vantage in [Vantage::PodA, Vantage::HostA, Vantage::Outside] {
            for &(means, destination, address) in &asked {
                questions.push(Question {
                    means,
                    targets: vec![Target {
                        destination,
                        address,
                    }],
                    is_sticky: false,
                    endpoints: 0,
                    ..question(now, port, family, vantage)
                });
            }
        }
    }

    fn frontends(&self, service: &Service, port: &Port, family: Family) -> Vec<Target> {
        let target = |destination, ip, port| Target {
            destination,
            address: SocketAddr::new(ip, port),
        };
        let slot = self.slot;
        let number = port.number;
        let mut targets = vec![target(
            Destination::ClusterIp,
            slot.cluster_ip(family),
            number,
        )];
        if service.is_on_nodes() {
            targets.extend(NodeName::BOTH.map(|node| {
                let ip = (self.node_ip)(node, family);
                target(Destination::NodePort(node), ip, slot.node_port(port))
            }));
        }
        if service.shown_vip().is_some() {
            targets.push(target(Destination::Vip, slot.vip(family), number));
        }
        if service.has_external_ip {
            targets.push(target(
                Destination::ExternalIp,
                slot.external_ip(family),
                number,
            ));
        }
        targets
    }
}

fn ask_port(
    now: &Service,
    port: &Port,
    family: Family,
    targets: &[Target],
    questions: &mut Vec<Question>,
) {
    for vantage in Vantage::ALL {
        let question = question(now, port, family, vantage);
        if question.is_sticky {
            // A node's own endpoint is not served to it, so it sticks to none.
            let own = vantage.server().filter(|it| it.is_host());
            let has_own = now
                .endpoints_of(port, family)
                .any(|(it, _)| Some(it.server) == own);
            if !targets.is_empty() && !has_own {
                let targets = targets.to_vec();
                questions.push(Question {
                    targets,
                    ..question
                });
            }
            continue;
        }
        for &target in targets {
            questions.push(Question {
                targets: vec![target],
                ..question.clone()
            });
        }
    }
}

fn keep_asking(
    history: &[&Service],
    port: &Port,
    family: Family,
    targets: &[Target],
    questions: &mut Vec<Question>,
) {
    let Some(&now) = history.last() else { return };
    let is_gone = !now.ports.contains(port);
    let endpoints = history.iter().flat_map(|it| it.endpoints_of(port, family));
    let mut fickle: BTreeSet<_> = endpoints
        .filter(|(it, _)| it.is_ready() && !it.is_serving())
        .map(|(it, number)| (it.server, number))
        .collect();
    if let [.., before, now] = history {
        fickle.extend(passage::shaken(before, now, port, family));
    }
    for vantage in [Vantage::PodA, Vantage::PodB, Vantage::Outside] {
        for &target in targets {
            let is_own = match target.destination {
                Destination::NodePort(node) => vantage.gateway() == node,
                _ => true,
            };
            if is_own {
                let question = question(now, port, family, vantage);
                questions.push(Question {
                    targets: vec![target],
                    is_kept: true,
                    is_sticky: false,
                    fickle: fickle.clone(),
                    serving: if is_gone || is_gone_from(now, target) {
                        0
                    } else {
                        question.serving
                    },
                    ..question
                });
            }
        }
    }
}

/// Whether the service is no longer reached in that way.
fn is_gone_from(now: &Service, target: Target) -> bool {
    match target.destination {
        Destination::NodePort(_) => !now.is_on_nodes(),
        Destination::Vip => !matches!(now.shown_vip(), Some(IpMode::Unset | IpMode::Vip)),
        Destination::ExternalIp => !now.has_external_ip,
        Destination::ClusterIp
        | Destination::UnusedPort
        | Destination::FreeClusterIp
        | Destination::Ping => false,
    }
}

fn question(now: &Service, port: &Port, family: Family, vantage: Vantage) -> Question {
    let mut all = BTreeSet::new();
    let mut serving = BTreeSet::new();
    let is_served = now.is_served();
    for (endpoint, number) in now.endpoints_of(port, family) {
        all.insert((endpoint.server, number));
        if is_served && endpoint.is_serving() {
            serving.insert((endpoint.server, number));
        }
    }
    Question {
        vantage,
        means: means(port),
        targets: Vec::new(),
        at_sockets: false,
        is_sticky: now.has_affinity && now.is_served(),
        is_kept: false,
        external_policy: now.external_policy,
        has_one_set: now.internal_policy == Policy::Cluster
            && now.external_policy == Policy::Cluster,
        endpoints: all.len(),
        serving: serving.len(),
        fickle: BTreeSet::new(),
    }
}

fn means(port: &Port) -> Means {
    match port.protocol {
        Protocol::Tcp => Means::Tcp,
        Protocol::Udp => Means::Udp,
    }
}
