//! What all files together declare, and what has changed since.
//!
//! An object that is declared twice is taken from the file whose name comes first.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::document::{Declared, Object};
use crate::model::{Change, EndpointSlice, Label, Namespace, Node, ObjectName, Pod, Service};

/// Everything that is in force.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    objects: BTreeMap<Key, Model>,
    /// Objects that have been reported as declared twice, with both files.
    reported: BTreeSet<(Key, String, String)>,
}

/// Identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Service(ObjectName),
    Slice(ObjectName),
    /// This node's own.
    Node,
    ServiceCidr(Label),
    Pod(ObjectName),
    Namespace(Label),
}

/// An object that is of concern to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Model {
    Service(Box<Service>),
    Slice(Box<EndpointSlice>),
    Node(Box<Node>),
    ServiceCidr(Vec<IpNet>),
    Pod(Box<Pod>),
    Namespace(Namespace),
}

impl Catalog {
    /// Puts what `files` declare (in the order of their names) in force. The differences: first
    /// what is new or has changed, then what is gone.
    pub(super) fn replace<'a>(
        &mut self,
        files: impl IntoIterator<Item = (&'a str, &'a [Declared])>,
    ) -> Vec<Change> {
        let mut declared = BTreeMap::new();
        let mut twice = BTreeSet::new();
        for (file, declarations) in files {
            for Declared { line, object } in declarations {
                let (key, model) = split(object);
                if let Some((first, _)) = declared.get(&key) {
                    let pair = (key, String::clone(first), file.to_owned());
                    if !self.reported.contains(&pair) {
                        let (key, first, second) = &pair;
                        tracing::warn!(
                            object = %key, in_force = first, ignored = second, line,
                            "object is declared twice: rename or delete one"
                        );
                    }
                    twice.insert(pair);
                    continue;
                }
                declared.insert(key, (file.to_owned(), model));
            }
        }
        self.reported = twice;
        let objects = declared.into_iter();
        let objects = objects.filter_map(|(key, (_, model))| Some((key, model?)));
        self.differences(objects.collect())
    }

    /// Whether this node's own Node is declared.
    pub(super) fn has_node(&self) -> bool {
        self.objects.contains_key(&Key::Node)
    }

    fn differences(&mut self, now: BTreeMap<Key, Model>) -> Vec<Change> {
        let before = std::mem::replace(&mut self.objects, now);
        let now = &self.objects;
        let changed = now
            .iter()
            .filter(|(key, model)| before.get(key) != Some(model));
        let changed = changed.map(|(key, model)| change(key, Some(model)));
        let gone = before.keys().filter(|key| !now.contains_key(key));
        changed.chain(gone.map(|key| change(key, None))).collect()
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(name) => write!(f, "Service {name}"),
            Self::Slice(name) => write!(f, "EndpointSlice {name}"),
            Self::Node => f.write_str("this node's Node"),
            Self::ServiceCidr(name) => write!(f, "ServiceCIDR {name}"),
            Self::Pod(name) => write!(f, "Pod {name}"),
            Self::Namespace(name) => write!(f, "Namespace {name}"),
        }
    }
}

fn split(object: &Object) -> (Key, Option<Model>) {
    match object {
        Object::Service(name, service) => (
            Key::Service(name.clone()),
            service.clone().map(Model::Service),
        ),
        Object::Slice(name, slice) => (Key::Slice(name.clone()), slice.clone().map(Model::Slice)),
        Object::Node(node) => (Key::Node, Some(Model::Node(node.clone()))),
        Object::ServiceCidr(name, networks) => (
            Key::ServiceCidr(name.clone()),
            Some(Model::ServiceCidr(networks.clone())),
        ),
        Object::Pod(name, pod) => (Key::Pod(name.clone()), pod.clone().map(Model::Pod)),
        Object::Namespace(namespace) => (
            Key::Namespace(namespace.name.clone()),
            Some(Model::Namespace(namespace.clone())),
        ),
    }
}

fn change(key: &Key, model: Option<&Model>) -> Change {
    match (key.clone(), model.cloned()) {
        (_, Some(Model::Service(service))) => Change::Service(service.name.clone(), Some(service)),
        (_, Some(Model::Slice(slice))) => Change::Slice(slice.name.clone(), Some(slice)),
        (_, Some(Model::Node(node))) => Change::Node(Some(node)),
        (Key::ServiceCidr(name), Some(Model::ServiceCidr(networks))) => {
            Change::ServiceCidr(name, Some(networks))
        }
        (_, Some(Model::Pod(pod))) => Change::Pod(pod.name.clone(), Some(pod)),
        (_, Some(Model::Namespace(namespace))) => {
            Change::Namespace(namespace.name.clone(), Some(namespace))
        }
        (Key::Service(name), _) => Change::Service(name, None),
        (Key::Slice(name), _) => Change::Slice(name, None),
        (Key::Node, _) => Change::Node(None),
        (Key::ServiceCidr(name), _) => Change::ServiceCidr(name, None),
        (Key::Pod(name), _) => Change::Pod(name, None),
        (Key::Namespace(name), _) => Change::Namespace(name, None),
    }
}
