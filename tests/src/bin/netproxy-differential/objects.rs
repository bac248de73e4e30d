//! What the API server holds of all cases, and the writes that make it something else.

use std::collections::BTreeMap;

use netproxy_lab::control_plane::Write;
use serde_json::{Value, json};

use crate::{
    case::Service,
    manifest::{self, Addresses, NAMESPACE},
    slot::Slot,
};

/// The objects of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Group {
    service: Option<Value>,
    load_balancer: Value,
    slices: BTreeMap<String, Value>,
}

/// The objects of all services, by the Service's name.
pub(crate) type Objects = BTreeMap<String, Group>;

impl Group {
    /// What the API server is to hold of a case's service.
    pub(crate) fn of(service: &Service, slot: Slot, at: &dyn Addresses) -> Self {
        let slices = service.slices.iter().map(|slice| {
            (
                manifest::slice_name(slice, slot),
                manifest::slice(slice, slot, at),
            )
        });
        Self {
            service: service.exists.then(|| manifest::service(service, slot)),
            load_balancer: if service.exists {
                manifest::load_balancer(service, slot)
            } else {
                Value::Null
            },
            slices: slices.collect(),
        }
    }

    /// Objects that are given whole.
    pub(crate) fn given(service: Value, slices: Vec<Value>) -> Self {
        let named = slices.into_iter().map(|slice| (name_of(&slice), slice));
        Self {
            service: Some(service),
            load_balancer: Value::Null,
            slices: named.collect(),
        }
    }

    /// Each as a manifest of its own, the Service with its status.
    pub(crate) fn manifests(&self) -> Vec<Value> {
        let service = self.service.clone().map(|mut service| {
            if !self.load_balancer["ingress"].is_null() {
                service["status"] = json!({"loadBalancer": self.load_balancer});
            }
            service
        });
        service
            .into_iter()
            .chain(self.slices.values().cloned())
            .collect()
    }
}

/// The writes that make `old` into `new`, in chains that may go on at once.
pub(crate) fn writes(old: &Objects, new: &Objects) -> Vec<Vec<Write>> {
    let nothing = Group::default();
    let mut chains = Vec::new();
    // First what goes: node ports are free at once.
    for (name, old) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        group_writes(name, old, &nothing, &mut chains);
    }
    for (name, new) in new {
        group_writes(name, old.get(name).unwrap_or(&nothing), new, &mut chains);
    }
    chains
}

fn group_writes(name: &str, old: &Group, new: &Group, chains: &mut Vec<Vec<Write>>) {
    let services = format!("/api/v1/namespaces/{NAMESPACE}/services");
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices");
    let mut chain: Vec<_> =
        object_write(&services, name, old.service.as_ref(), new.service.as_ref())
            .into_iter()
            .collect();
    let is_new = old.service.is_none() && new.service.is_some();
    let has_status = new.service.is_some() && !new.load_balancer.is_null();
    if has_status && (is_new || old.load_balancer != new.load_balancer || !chain.is_empty()) {
        let status = json!({"status": {"loadBalancer": new.load_balancer}});
        chain.push(Write::Status(format!("{services}/{name}"), status));
    }
    chains.push(chain);
    let names = old
        .slices
        .keys()
        .chain(new.slices.keys().filter(|it| !old.slices.contains_key(*it)));
    for name in names {
        let write = object_write(&slices, name, old.slices.get(name), new.slices.get(name));
        chains.extend(write.map(|write| vec![write]));
    }
    chains.retain(|chain| !chain.is_empty());
}

fn object_write(
    collection: &str,
    name: &str,
    old: Option<&Value>,
    new: Option<&Value>,
) -> Option<Write> {
    let path = || format!("{collection}/{name}");
    match (old, new) {
        (None, Some(new)) => Some(Write::Create(collection.to_owned(), new.clone())),
        (Some(old), Some(new)) if old != new => Some(Write::Replace(path(), new.clone())),
        (Some(_), None) => Some(Write::Delete(path())),
        _ => None,
    }
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
