use std::net::IpAddr;

use netproxy_lab::probe::Means;

use super::*;
use crate::{
    case::{NodeName, Policy},
    question::Destination,
    vantage::{Source, Vantage},
};

fn target(destination: Destination) -> Target {
    Target {
        destination,
        address: "192.0.2.1:80".parse().unwrap(),
    }
}

fn question(is_sticky: bool) -> Question {
    Question {
        vantage: Vantage::PodA,
        means: Means::Tcp,
        targets: vec![
            target(Destination::ClusterIp),
            target(Destination::ExternalIp),
        ],
        is_sticky,
        at_sockets: false,
        is_kept: false,
        external_policy: Policy::Cluster,
        has_one_set: true,
        endpoints: 2,
        serving: 2,
        fickle: BTreeSet::new(),
    }
}

fn reply(endpoint: &str) -> Reply {
    Reply::Answered {
        endpoint: endpoint.to_owned(),
        port: 8080,
        client: IpAddr::from([192, 0, 2, 9]),
    }
}

fn outcome(replies: &[Reply]) -> Outcome {
    Outcome::of(replies, |_| Source::Own)
}

fn judged(is_sticky: bool, kube: &[Reply], netproxy: &[Reply]) -> Judgement {
    let question = question(is_sticky);
    let target = question.targets[0];
    judge(&question, target, &outcome(kube), &outcome(netproxy))
}

#[test]
fn how_often_and_in_which_order_endpoints_answer_does_not_matter() {
    let (one, other) = (
        [reply("a1"), reply("b1")],
        [reply("b1"), reply("a1"), reply("a1")],
    );
    assert_eq!(judged(false, &one, &other), Judgement::Same);
}

#[test]
fn another_set_of_endpoints_is_a_failure() {
    let (one, other) = ([reply("a1"), reply("b1")], [reply("b1")]);
    assert_eq!(judged(false, &one, &other), Judgement::Divergent);
}

#[test]
fn a_refusal_is_not_a_drop() {
    assert_eq!(
        judged(false, &[Reply::Refused], &[Reply::Silent]),
        Judgement::Divergent
    );
    assert_eq!(
        judged(true, &[Reply::Refused], &[Reply::Silent]),
        Judgement::Divergent
    );
}

#[test]
fn a_drop_among_answers_is_a_failure() {
    let (one, other) = ([reply("a1")], [reply("a1"), Reply::Silent]);
    assert_eq!(judged(false, &one, &other), Judgement::Divergent);
    assert_eq!(judged(true, &one, &other), Judgement::Divergent);
}

#[test]
fn another_source_is_a_failure() {
    let question = question(false);
    let replies = [reply("b1")];
    let masqueraded = Outcome::of(&replies, |_| Source::Node(NodeName::A));
    let judgement = judge(
        &question,
        question.targets[0],
        &outcome(&replies),
        &masqueraded,
    );
    assert_eq!(judgement, Judgement::Divergent);
}

#[test]
fn whom_a_client_sticks_to_is_chance_and_that_it_sticks_is_not() {
    let (a1, b1, both) = ([reply("a1")], [reply("b1")], [reply("a1"), reply("b1")]);
    assert_eq!(judged(true, &a1, &b1), Judgement::Same);
    assert_eq!(judged(true, &a1, &both), Judgement::Divergent);
    assert_eq!(judged(true, &both, &a1), Judgement::Divergent);
}

#[test]
fn affinity_holds_from_one_frontend_of_a_port_to_another() {
    let (a1, b1) = (outcome(&[reply("a1")]), outcome(&[reply("b1")]));
    let same = [a1.clone(), a1.clone()];
    let not = [a1, b1];
    assert!(sticks_alike(&question(true), &same, &same));
    assert!(!sticks_alike(&question(true), &same, &not));
    let unequal = Question {
        has_one_set: false,
        ..question(true)
    };
    assert!(sticks_alike(&unequal, &same, &not));
}

fn fates(before: &[Reply], after: &[Reply]) -> Fates {
    Fates::of(before, after)
}

#[test]
fn flows_are_compared_where_they_had_the_same_endpoint() {
    let before = [reply("a1"), reply("b1")];
    let kube = fates(&before, &[reply("b1"), reply("b1")]);
    let alike = fates(&[reply("b1"), reply("b1")], &[reply("b1"), reply("b1")]);
    let unlike = fates(&before, &[reply("a1"), reply("b1")]);
    assert_eq!(
        judge_fates(&question(false), &kube, &alike),
        Judgement::Same
    );
    assert_eq!(
        judge_fates(&question(false), &kube, &unlike),
        Judgement::Divergent
    );
}

#[test]
fn flows_to_an_endpoint_that_does_not_serve_are_a_matter_of_chance() {
    let stayed = fates(&[reply("a1")], &[reply("a1")]);
    let moved = fates(&[reply("a1")], &[reply("b1")]);
    let fickle = Question {
        fickle: [(Server::A1, 8080)].into(),
        ..question(false)
    };
    assert_eq!(judge_fates(&fickle, &stayed, &moved), Judgement::Same);
    let other = Question {
        fickle: [(Server::B1, 8080)].into(),
        ..question(false)
    };
    assert_eq!(judge_fates(&other, &stayed, &moved), Judgement::Divergent);
}

#[test]
fn flows_of_a_service_without_a_serving_endpoint_may_end() {
    let stayed = fates(&[reply("a1")], &[reply("a1")]);
    let refused = fates(&[reply("a1")], &[Reply::Refused]);
    let empty = Question {
        serving: 0,
        ..question(false)
    };
    let meant = Judgement::Deliberate([Difference::EmptyServiceEndsFlows].into());
    assert_eq!(judge_fates(&empty, &stayed, &refused), meant);
    let [one, both] = [
        [reply("a1"), Reply::Refused],
        [Reply::Refused, Reply::Refused],
    ]
    .map(|after| fates(&[reply("a1"), reply("a1")], &after));
    assert_eq!(judge_fates(&empty, &one, &both), meant);
    let silent = fates(&[reply("a1")], &[Reply::Silent]);
    assert_eq!(judge_fates(&empty, &one, &silent), Judgement::Divergent);
    assert_eq!(judge_fates(&empty, &refused, &stayed), Judgement::Divergent);
    assert_eq!(
        judge_fates(&question(false), &stayed, &refused),
        Judgement::Divergent
    );
}

#[test]
fn a_balanced_socket_may_end_where_its_flow_may_not_stay() {
    let aborted = Reply::Failed("Software caused connection abort (os error 103)".to_owned());
    let fate = |after: Reply| fates(&[reply("a1")], &[after]);
    let (stayed, moved, ended) = (fate(reply("a1")), fate(reply("b1")), fate(aborted));
    let at_sockets = |serving| Question {
        at_sockets: true,
        serving,
        ..question(false)
    };
    let meant = Judgement::Deliberate([Difference::StaleSocketsEnd].into());
    assert_eq!(judge_fates(&at_sockets(1), &moved, &ended), meant);
    assert_eq!(judge_fates(&at_sockets(0), &stayed, &ended), meant);
    assert_eq!(
        judge_fates(&at_sockets(1), &stayed, &ended),
        Judgement::Divergent
    );
    assert_eq!(
        judge_fates(&question(false), &moved, &ended),
        Judgement::Divergent
    );
}
