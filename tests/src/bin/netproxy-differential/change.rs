//! What may happen to the services of a case: one or two things at a time, as a rollout, a user or a
//! cloud controller would do them.

use fastrand::Rng;

use crate::{
    case::{Family, IpMode, Kind, Policy, Port, Service, SlicePort, State},
    generate::{self, Characters, chance, one_of},
    slot::NODE_PORTS,
};

/// One thing that happens to a service; some find nothing to do.
type Change = fn(&mut Service, &mut Rng);

const CHANGES: [Change; 17] = [
    change_conditions,
    change_conditions,
    change_conditions,
    drop_endpoint,
    drop_endpoint,
    drop_slice,
    add_slice,
    renumber_slice_port,
    rename_port,
    renumber_port,
    change_kind,
    change_external_policy,
    change_internal_policy,
    change_affinity,
    change_vip,
    change_outer,
    delete_or_create,
];

/// What the state becomes.
pub(crate) fn of(state: &State, rng: &mut Rng) -> State {
    let mut next = state.clone();
    for _ in 0..8 {
        for _ in 0..rng.usize(1..=2) {
            let index = rng.usize(..next.len());
            one_of(rng, &CHANGES)(&mut next[index], rng);
        }
        if next != *state {
            break;
        }
    }
    next
}

/// One server's, in all slices.
fn change_conditions(service: &mut Service, rng: &mut Rng) {
    let mut endpoints = service.slices.iter().flat_map(|it| &it.endpoints);
    let count = endpoints.clone().count();
    if count == 0 {
        return;
    }
    let Some(mut like) = endpoints.nth(rng.usize(..count)).cloned() else {
        return;
    };
    generate::set_conditions(rng, &mut like, false);
    let endpoints = service.slices.iter_mut().flat_map(|it| &mut it.endpoints);
    for endpoint in endpoints.filter(|it| it.server == like.server) {
        endpoint.ready = like.ready;
        endpoint.serving = like.serving;
        endpoint.terminating = like.terminating;
    }
}

fn drop_endpoint(service: &mut Service, rng: &mut Rng) {
    let filled = service
        .slices
        .iter_mut()
        .filter(|it| !it.endpoints.is_empty());
    let mut filled: Vec<_> = filled.collect();
    if filled.is_empty() {
        return;
    }
    let chosen = rng.usize(..filled.len());
    let slice = &mut *filled[chosen];
    let index = rng.usize(..slice.endpoints.len());
    slice.endpoints.remove(index);
}

fn drop_slice(service: &mut Service, rng: &mut Rng) {
    if !service.slices.is_empty() {
        let index = rng.usize(..service.slices.len());
        service.slices.remove(index);
    }
}

fn add_slice(service: &mut Service, rng: &mut Rng) {
    let family = one_of(rng, &service.families);
    let number = service.slices.iter().map(|it| it.number + 1).max();
    let characters = Characters::of(service, rng);
    let slice = generate::slice(
        rng,
        &service.ports,
        family,
        number.unwrap_or(0),
        &characters,
    );
    service.slices.push(slice);
}

fn renumber_slice_port(service: &mut Service, rng: &mut Rng) {
    let ports: Vec<&mut SlicePort> = service
        .slices
        .iter_mut()
        .flat_map(|it| &mut it.ports)
        .collect();
    let count = ports.len();
    if count > 0
        && let Some(port) = ports.into_iter().nth(rng.usize(..count))
    {
        port.number = Some(one_of(rng, &generate::SERVERS_PORTS));
    }
}

/// In the service, and sometimes in its slices as well, as the controller would.
fn rename_port(service: &mut Service, rng: &mut Rng) {
    let index = rng.usize(..service.ports.len());
    let port = &mut service.ports[index];
    let (old, new) = (port.name.clone(), format!("{}x", port.name));
    if new.len() > 8 {
        return;
    }
    port.name.clone_from(&new);
    if chance(rng, 60) {
        let ports = service.slices.iter_mut().flat_map(|it| &mut it.ports);
        for it in ports.filter(|it| it.name == old) {
            it.name.clone_from(&new);
        }
    }
}

fn renumber_port(service: &mut Service, rng: &mut Rng) {
    let index = rng.usize(..service.ports.len());
    let port = &mut service.ports[index];
    port.number += 1000;
    port.place = (port.place + 3) % NODE_PORTS;
    let port = service.ports[index].clone();
    let has_taken = |it: &&Port| it.place == port.place;
    if service.ports.iter().filter(has_taken).count() > 1 {
        // A free one: there are more node ports than ports.
        let free = (0..NODE_PORTS).find(|&it| service.ports.iter().all(|p| p.place != it));
        service.ports[index].place = free.unwrap_or(port.place);
    }
}

fn change_kind(service: &mut Service, rng: &mut Rng) {
    service.kind = one_of(rng, &[Kind::ClusterIp, Kind::NodePort, Kind::LoadBalancer]);
}

fn change_external_policy(service: &mut Service, _: &mut Rng) {
    service.external_policy = other(service.external_policy);
}

fn change_internal_policy(service: &mut Service, _: &mut Rng) {
    service.internal_policy = other(service.internal_policy);
}

fn change_affinity(service: &mut Service, _: &mut Rng) {
    service.has_affinity = !service.has_affinity;
}

fn change_vip(service: &mut Service, rng: &mut Rng) {
    service.vip = one_of(
        rng,
        &[
            None,
            Some(IpMode::Unset),
            Some(IpMode::Vip),
            Some(IpMode::Proxy),
        ],
    );
}

/// What is there for those outside.
fn change_outer(service: &mut Service, rng: &mut Rng) {
    if rng.bool() {
        service.has_external_ip = !service.has_external_ip;
    } else if service.source_ranges.is_empty() {
        service.source_ranges = generate::source_ranges(rng);
    } else {
        service.source_ranges.clear();
    }
}

fn delete_or_create(service: &mut Service, rng: &mut Rng) {
    service.exists = !service.exists;
    if !service.exists && rng.bool() {
        service.slices.retain(|it| it.family == Family::V6);
    }
}

fn other(policy: Policy) -> Policy {
    match policy {
        Policy::Cluster => Policy::Local,
        Policy::Local => Policy::Cluster,
    }
}
