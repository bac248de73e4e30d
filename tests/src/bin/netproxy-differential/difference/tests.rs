use std::collections::BTreeSet;

use netproxy_lab::probe::Means;

use super::*;
use crate::{case::NodeName, outcome::Answerer, vantage::Vantage};

const B1: Answerer = (Server::B1, 8080);
const A1: Answerer = (Server::A1, 8080);
const HOST_A: Answerer = (Server::HostA, 8080);

fn ask(vantage: Vantage, destination: Destination, policy: Policy) -> (Question, Target) {
    let target = Target {
        destination,
        address: "192.0.2.1:80".parse().unwrap(),
    };
    let question = Question {
        vantage,
        means: Means::Tcp,
        targets: vec![target],
        is_sticky: false,
        at_sockets: false,
        is_kept: false,
        external_policy: policy,
        has_one_set: true,
        endpoints: 2,
        serving: 2,
        fickle: BTreeSet::new(),
    };
    (question, target)
}

fn answered(answers: &[(Answerer, Source)]) -> Outcome {
    let answers = answers
        .iter()
        .map(|&(who, source)| (who, BTreeSet::from([source])));
    Outcome {
        answers: answers.collect(),
        ..Outcome::default()
    }
}

fn expect(
    (question, target): &(Question, Target),
    kube: &Outcome,
    netproxy: &Outcome,
    differences: &[Difference],
) {
    let wanted = (netproxy.clone(), differences.iter().copied().collect());
    assert_eq!(expected(question, *target, kube, netproxy), wanted);
}

const MASQUERADED: Source = Source::Node(NodeName::A);

#[test]
fn an_outside_client_of_a_node_port_is_shown_to_endpoints_of_that_node() {
    let asked = ask(
        Vantage::Outside,
        Destination::NodePort(NodeName::A),
        Policy::Cluster,
    );
    let kube = answered(&[(A1, MASQUERADED), (B1, MASQUERADED)]);
    let netproxy = answered(&[(A1, Source::Own), (B1, MASQUERADED)]);
    expect(&asked, &kube, &netproxy, &[Difference::ClientAddressKept]);
}

#[test]
fn a_pod_of_the_node_is_shown_to_every_endpoint_but_itself() {
    let asked = ask(Vantage::PodA, Destination::Vip, Policy::Cluster);
    let kube = answered(&[(A1, MASQUERADED), (B1, MASQUERADED)]);
    let netproxy = answered(&[(A1, MASQUERADED), (B1, Source::Own)]);
    expect(&asked, &kube, &netproxy, &[Difference::ClientAddressKept]);
}

#[test]
fn under_the_local_policy_sources_have_to_be_the_same() {
    let asked = ask(
        Vantage::Outside,
        Destination::NodePort(NodeName::A),
        Policy::Local,
    );
    let kube = answered(&[(A1, MASQUERADED)]);
    expect(&asked, &kube, &kube, &[]);
}

#[test]
fn a_pod_that_asks_a_cluster_ip_has_to_be_shown_as_by_kube_proxy() {
    let asked = ask(Vantage::PodA, Destination::ClusterIp, Policy::Cluster);
    let kube = answered(&[(B1, MASQUERADED)]);
    expect(&asked, &kube, &kube, &[]);
}

#[test]
fn another_node_s_address_is_never_taken_for_a_masquerade_of_the_entry() {
    let asked = ask(Vantage::Outside, Destination::Vip, Policy::Cluster);
    let kube = answered(&[(A1, Source::Node(NodeName::B))]);
    expect(&asked, &kube, &kube, &[]);
}

#[test]
fn a_process_is_refused_at_a_node_port_of_its_own_node() {
    let asked = ask(
        Vantage::HostA,
        Destination::NodePort(NodeName::A),
        Policy::Cluster,
    );
    let kube = answered(&[(B1, Source::Own)]);
    expect(
        &asked,
        &kube,
        &Outcome::refused(),
        &[Difference::NodeToItself],
    );
}

/// The same question where netproxy balances at the socket.
fn at_sockets((question, target): (Question, Target)) -> (Question, Target) {
    let question = Question {
        at_sockets: true,
        ..question
    };
    (question, target)
}

#[test]
fn a_process_is_served_at_a_node_port_of_its_own_node_at_the_socket() {
    let own = Destination::NodePort(NodeName::A);
    let asked = at_sockets(ask(Vantage::HostA, own, Policy::Cluster));
    let kube = answered(&[(HOST_A, Source::Own), (B1, Source::Own)]);
    expect(&asked, &kube, &kube, &[]);
    let (expected, _) = expected(&asked.0, asked.1, &kube, &Outcome::refused());
    assert_ne!(expected, Outcome::refused());
}

#[test]
fn a_process_hears_its_own_node_as_an_endpoint_at_the_socket() {
    let asked = at_sockets(ask(Vantage::HostA, Destination::ClusterIp, Policy::Cluster));
    let kube = answered(&[(HOST_A, Source::Own), (B1, Source::Own)]);
    expect(&asked, &kube, &kube, &[]);
}

#[test]
fn a_pod_that_is_its_own_endpoint_sees_itself_at_the_socket_only() {
    let by_packet = ask(Vantage::PodA, Destination::ClusterIp, Policy::Cluster);
    let kube = answered(&[(A1, MASQUERADED), (B1, Source::Own)]);
    expect(&by_packet, &kube, &kube, &[]);
    let itself = answered(&[(A1, Source::Own), (B1, Source::Own)]);
    let asked = at_sockets(by_packet);
    expect(&asked, &kube, &itself, &[Difference::SeesItself]);
}

#[test]
fn what_a_socket_leaves_to_packets_is_expected_of_packets() {
    let kube = answered(&[(A1, MASQUERADED)]);
    let itself = answered(&[(A1, Source::Own)]);
    for destination in [Destination::ClusterIp, Destination::NodePort(NodeName::B)] {
        let (mut question, target) = at_sockets(ask(Vantage::PodA, destination, Policy::Local));
        question.is_sticky = true;
        let (expected, _) = expected(&question, target, &kube, &itself);
        assert_eq!(expected, kube, "{destination:?}");
    }
}

#[test]
fn a_process_is_served_at_a_node_port_of_another_node() {
    let asked = ask(
        Vantage::HostB,
        Destination::NodePort(NodeName::A),
        Policy::Cluster,
    );
    let kube = answered(&[(B1, MASQUERADED)]);
    expect(&asked, &kube, &kube, &[]);
}

#[test]
fn a_process_hears_nothing_from_its_own_node_as_an_endpoint() {
    let asked = ask(Vantage::HostA, Destination::ClusterIp, Policy::Cluster);
    let kube = answered(&[(HOST_A, Source::Own), (B1, Source::Own)]);
    let netproxy = Outcome {
        is_silent: true,
        ..answered(&[(B1, Source::Own)])
    };
    expect(&asked, &kube, &netproxy, &[Difference::NodeToItself]);
}

#[test]
fn a_process_is_served_by_its_own_node_through_another() {
    let asked = ask(
        Vantage::HostA,
        Destination::NodePort(NodeName::B),
        Policy::Cluster,
    );
    let kube = answered(&[(HOST_A, Source::Node(NodeName::B))]);
    expect(&asked, &kube, &kube, &[]);
}

#[test]
fn a_process_is_served_by_another_node_as_an_endpoint() {
    let asked = ask(Vantage::HostB, Destination::ClusterIp, Policy::Cluster);
    let kube = answered(&[(HOST_A, Source::Own)]);
    expect(&asked, &kube, &kube, &[]);
}

#[test]
fn a_pod_of_another_node_gets_local_endpoints_under_the_local_policy() {
    let asked = ask(
        Vantage::PodB,
        Destination::NodePort(NodeName::A),
        Policy::Local,
    );
    let lost = Outcome {
        is_silent: true,
        ..Outcome::default()
    };
    let local = answered(&[(A1, Source::Own)]);
    let differences = [Difference::RemotePodIsOutside];
    expect(&asked, &lost, &local, &differences);
    expect(&asked, &answered(&[(B1, Source::Own)]), &lost, &differences);
}

#[test]
fn a_pod_of_another_node_must_not_get_what_an_outside_client_could_not() {
    let asked = ask(
        Vantage::PodB,
        Destination::NodePort(NodeName::A),
        Policy::Local,
    );
    let kube = answered(&[(A1, Source::Own)]);
    let some_lost = Outcome {
        is_silent: true,
        ..kube.clone()
    };
    let wrong = [
        answered(&[(B1, Source::Own)]),
        answered(&[(A1, MASQUERADED)]),
        Outcome::refused(),
        some_lost,
    ];
    for netproxy in wrong {
        let (expected, _) = expected(&asked.0, asked.1, &kube, &netproxy);
        assert_ne!(expected, netproxy);
    }
}

#[test]
fn a_pod_of_another_node_is_refused_where_kube_proxy_refuses_it() {
    let asked = ask(
        Vantage::PodB,
        Destination::NodePort(NodeName::A),
        Policy::Local,
    );
    let silent = Outcome {
        is_silent: true,
        ..Outcome::default()
    };
    let (expected, _) = expected(&asked.0, asked.1, &Outcome::refused(), &silent);
    assert_eq!(expected, Outcome::refused());
}

#[test]
fn a_pod_of_the_node_itself_is_local_in_both() {
    let asked = ask(
        Vantage::PodA,
        Destination::NodePort(NodeName::A),
        Policy::Local,
    );
    let kube = answered(&[(A1, MASQUERADED), (B1, Source::Own)]);
    expect(&asked, &kube, &kube, &[]);
}
