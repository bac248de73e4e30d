//! What a step does between its writes: a Service and each of its slices are objects of their own, so a
//! proxy may see one before the other.

use std::collections::BTreeSet;

use crate::{
    case::{Family, Port, Service, Slice},
    outcome::Answerer,
};

/// The endpoints of a port that serve before and after a step, but perhaps not between its writes: a port
/// gets another name in the Service first and in its slices later, an endpoint leaves one slice before it
/// comes in another. Whether a proxy sees that is chance.
pub(crate) fn shaken(
    before: &Service,
    now: &Service,
    port: &Port,
    family: Family,
) -> BTreeSet<Answerer> {
    let is_its = |it: &&Port| (it.protocol, it.number) == (port.protocol, port.number);
    let Some(old_port) = before.ports.iter().find(is_its) else {
        return BTreeSet::new();
    };
    let all_of = |service: &Service, port| {
        let slices = service.slices.iter().filter(|it| it.family == family);
        slices
            .flat_map(|it| serving(it, port))
            .collect::<BTreeSet<_>>()
    };
    let steady: BTreeSet<_> = before
        .slices
        .iter()
        .flat_map(|old| now.slices.iter().map(move |new| (old, new)))
        .filter(|(old, new)| {
            old.family == family && (old.family, old.number) == (new.family, new.number)
        })
        .flat_map(|(old, new)| {
            let seen = [(old, old_port), (old, port), (new, old_port), (new, port)];
            let [first, others @ ..] = seen.map(|(slice, port)| serving(slice, port));
            others.iter().fold(first, |steady, it| {
                steady.intersection(it).copied().collect()
            })
        })
        .collect();
    all_of(before, old_port)
        .intersection(&all_of(now, port))
        .filter(|it| !steady.contains(it))
        .copied()
        .collect()
}

fn serving(slice: &Slice, port: &Port) -> BTreeSet<Answerer> {
    slice
        .endpoints_of(port)
        .filter(|(it, _)| it.is_serving())
        .map(|(it, number)| (it.server, number))
        .collect()
}

#[cfg(test)]
mod tests;
