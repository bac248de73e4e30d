//! A failing case is made smaller while it still fails: steps, services, slices, endpoints, ports and
//! properties go.

use anyhow::Result;

use crate::case::{Case, Family, Kind, Policy, Service, State};

/// Rounds of candidates; each round is one run of all of them, side by side.
const ROUNDS: usize = 10;

/// The smallest case found that still fails, with what it showed when it did. `failure` is given
/// candidates, the biggest cuts first, and says of each what it shows if it fails in the same way.
pub(crate) fn shrink<T>(
    case: &Case,
    shown: T,
    most: usize,
    mut failure: impl FnMut(&[Case]) -> Result<Vec<Option<T>>>,
) -> Result<(Case, T)> {
    let mut smallest = (case.clone(), shown);
    for _ in 0..ROUNDS {
        let mut candidates = candidates(&smallest.0);
        candidates.truncate(most);
        if candidates.is_empty() {
            break;
        }
        let failures = failure(&candidates)?;
        let found = candidates.into_iter().zip(failures);
        let Some(found) = found
            .into_iter()
            .find_map(|(case, shown)| Some((case, shown?)))
        else {
            break;
        };
        smallest = found;
    }
    Ok(smallest)
}

/// The cases that are a little smaller, the biggest cuts first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let mut push = |steps: Vec<State>| {
        let candidate = Case {
            steps,
            ..case.clone()
        };
        if candidate != *case && !all.contains(&candidate) {
            all.push(candidate);
        }
    };
    if case.steps.len() > 1 {
        for index in 0..case.steps.len() {
            let mut steps = case.steps.clone();
            steps.remove(index);
            push(steps);
        }
    }
    let services = case.steps[0].len();
    if services > 1 {
        for index in 0..services {
            push(each_state(case, |state| {
                state.remove(index);
            }));
        }
    }
    for index in 0..services {
        let every = |cut: &dyn Fn(&mut Service)| each_state(case, |state| cut(&mut state[index]));
        for cut in SIMPLER {
            push(every(&cut));
        }
        let largest = |count: fn(&Service) -> usize| {
            case.steps
                .iter()
                .map(|state| count(&state[index]))
                .max()
                .unwrap_or(0)
        };
        for number in 0..largest(|it| it.slices.len()) {
            push(every(&|service| {
                if number < service.slices.len() {
                    service.slices.remove(number);
                }
            }));
            for server in crate::case::Server::ALL {
                push(every(&|service| {
                    if let Some(slice) = service.slices.get_mut(number) {
                        slice.endpoints.retain(|it| it.server != server);
                    }
                }));
            }
        }
        for number in 0..largest(|it| it.ports.len()) {
            push(every(&|service| {
                if service.ports.len() > 1 && number < service.ports.len() {
                    service.ports.remove(number);
                }
            }));
        }
    }
    all
}

/// What makes a service simpler, whatever it is.
const SIMPLER: [fn(&mut Service); 11] = [
    |it| keep_family(it, Family::V4),
    |it| keep_family(it, Family::V6),
    |it| it.slices.clear(),
    |it| it.kind = Kind::ClusterIp,
    |it| it.has_affinity = false,
    |it| it.has_external_ip = false,
    |it| it.source_ranges.clear(),
    |it| it.vip = None,
    |it| it.internal_policy = Policy::Cluster,
    |it| it.external_policy = Policy::Cluster,
    |it| {
        for endpoint in it.slices.iter_mut().flat_map(|slice| &mut slice.endpoints) {
            endpoint.for_zones.clear();
            endpoint.for_nodes.clear();
        }
    },
];

fn keep_family(service: &mut Service, family: Family) {
    if service.families.len() > 1 {
        service.families.retain(|&it| it == family);
        service.slices.retain(|slice| slice.family == family);
    }
}

fn each_state(case: &Case, cut: impl Fn(&mut State)) -> Vec<State> {
    let mut steps = case.steps.clone();
    steps.iter_mut().for_each(cut);
    steps
}

#[cfg(test)]
mod tests;
