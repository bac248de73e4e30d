//! Answers of edge flows are looked for where packets leave, but only while there may be such flows.

use crate::world::{Course, Flavour, Half, Opened, World};

/// The answer to the only flow comes to its client, from the frontend.
#[track_caller]
fn is_answered(world: &World, opened: &Opened) {
    let (answer, _) = opened.answers();
    let outcome = opened.course.answer(world, &answer);
    assert_eq!(outcome.source(), opened.frontend, "{opened:?}");
}

/// An edge flow that was opened after a walk that found none, as though nobody had said so.
fn unannounced(world: &mut World, flavour: Flavour) -> Opened {
    world.forget_flows();
    world.datapath().expire_flows().unwrap();
    let opened = Course::Edge.open(world, flavour);
    world.forget_edges();
    opened
}

#[test]
fn flows_of_every_kind_are_answered_after_walks_of_the_table() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        for course in Course::ALL {
            // One that finds nothing, and one that finds the flow.
            world.forget_flows();
            world.datapath().expire_flows().unwrap();
            let opened = course.open(&mut world, flavour);
            is_answered(&world, &opened);
            world.datapath().expire_flows().unwrap();

            is_answered(&world, &opened);
        }
    }
}

#[test]
fn half_a_flow_is_enough_to_be_looked_for() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        world.crowd();
        let opened = Course::Edge.open(&mut world, flavour);
        assert_eq!(world.lose(Half::Forward), 1);
        world.forget_edges();

        world.datapath().expire_flows().unwrap();

        is_answered(&world, &opened);
    }
}

#[test]
fn nothing_is_looked_for_once_a_walk_has_found_no_such_flow() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let opened = unannounced(&mut world, flavour);

        let (answer, _) = opened.answers();
        let outcome = opened.course.answer(&world, &answer);
        outcome.passes_untouched();
    }
}

#[test]
fn an_agent_that_starts_trusts_no_walk_of_another() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let opened = unannounced(&mut world, flavour);

        world.stop();
        world.start();

        is_answered(&world, &opened);
    }
}

#[test]
fn what_comes_out_of_the_lru_is_said_to_be_opened_anew() {
    let mut world = World::new();
    for flavour in Flavour::TCP {
        world.crowd();
        let opened = Course::Edge.open(&mut world, flavour);
        is_answered(&world, &opened);
        world.forget_edges();
        let before = world.edges_opened_s();

        let (request, _) = opened.requests();
        opened.course.request(&world, &request).destination();

        assert!(world.flow().is_assured);
        assert_ne!(world.edges_opened_s(), before);
    }
}
