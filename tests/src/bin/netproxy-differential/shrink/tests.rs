use super::*;
use crate::generate;

/// A case with at least two services, two steps and two slices.
fn large() -> Case {
    let is_large = |case: &Case| {
        let slices = case.steps[0].iter().map(|it| it.slices.len());
        case.steps.len() > 1 && case.steps[0].len() > 1 && slices.sum::<usize>() > 2
    };
    (0..1000)
        .map(|number| generate::case(9, number))
        .find(is_large)
        .unwrap()
}

fn slices(case: &Case) -> usize {
    case.steps.iter().flatten().map(|it| it.slices.len()).sum()
}

#[test]
fn what_is_found_still_fails_and_is_the_smallest_of_its_kind() {
    let fails = |case: &Case| case.steps.iter().flatten().any(|it| !it.slices.is_empty());
    let (small, ()) = shrink(&large(), (), 100, |candidates| {
        Ok(candidates
            .iter()
            .map(|it| fails(it).then_some(()))
            .collect())
    })
    .unwrap();
    assert!(fails(&small));
    assert_eq!(
        (small.steps.len(), small.steps[0].len(), slices(&small)),
        (1, 1, 1)
    );
}

#[test]
fn what_is_shown_is_of_the_smallest_case() {
    let case = large();
    let (small, shown) = shrink(&case, slices(&case), 100, |candidates| {
        let shown = candidates.iter().map(|it| Some(slices(it)));
        Ok(shown.collect())
    })
    .unwrap();
    assert_eq!(shown, slices(&small));
}

#[test]
fn a_case_that_fails_only_whole_stays_as_it_is() {
    let case = large();
    let (small, ()) = shrink(&case, (), 100, |candidates| {
        Ok(vec![None; candidates.len()])
    })
    .unwrap();
    assert_eq!(small, case);
}

#[test]
fn no_more_candidates_are_tried_at_once_than_there_is_room_for() {
    shrink(&large(), (), 3, |candidates| {
        assert!(candidates.len() <= 3);
        Ok(vec![None; candidates.len()])
    })
    .unwrap();
}
