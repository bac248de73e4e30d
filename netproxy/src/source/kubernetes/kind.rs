//! The kinds that are watched.

use std::fmt;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::core::PartialObjectMeta;
use serde::de::DeserializeOwned;

use crate::model::convert::{self, Interner};
use crate::model::{Change, ObjectName};
use crate::source::Interest;

/// A watched kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Services,
    EndpointSlices,
    Node,
    ServiceCidrs,
    Pods,
    Namespaces,
}

/// A type of the API that is watched, and how it becomes [`Change`]s.
pub(super) trait Watched:
    kube::Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + 'static
{
    /// Which of them it is.
    const KIND: Kind;

    /// The object as a change, or None if it is of no concern to a proxy.
    fn exists(&self, interner: &mut Interner) -> Option<Change>;

    /// The change that an object is gone.
    fn gone(name: ObjectName) -> Change;

    /// The change that a complete list had nothing in it, where that is worth telling.
    fn nothing_listed() -> Option<Change> {
        None
    }
}

impl Kind {
    /// All of them; those that not everybody asks for come last.
    pub(super) const ALL: [Self; 6] = [
        Self::Services,
        Self::EndpointSlices,
        Self::Node,
        Self::ServiceCidrs,
        Self::Pods,
        Self::Namespaces,
    ];

    /// Those that are of interest.
    pub(super) fn of(interest: &Interest) -> &'static [Self] {
        if interest.has_pods {
            &Self::ALL
        } else {
            &Self::ALL[..4]
        }
    }

    /// What follows where the server does not have the kind (`ServiceCIDRs` before Kubernetes 1.33)
    /// or does not show it to us; None if nothing can be served without.
    pub(super) const fn without(self) -> Option<&'static str> {
        match self {
            Self::Services | Self::EndpointSlices | Self::Node => None,
            Self::ServiceCidrs => Some("unallocated cluster IPs are left alone"),
            Self::Pods | Self::Namespaces => Some(
                "pods whose wish is not known are not balanced at the socket; allow the account to \
                 get, list and watch pods and namespaces",
            ),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
            Self::Node => "this node",
            Self::ServiceCidrs => "servicecidrs",
            Self::Pods => "pods of this node",
            Self::Namespaces => "namespaces",
        })
    }
}

impl Watched for Service {
    const KIND: Kind = Kind::Services;

    fn exists(&self, interner: &mut Interner) -> Option<Change> {
        let service = convert::service(self, interner)?;
        Some(Change::Service(
            service.name.clone(),
            Some(Box::new(service)),
        ))
    }

    fn gone(name: ObjectName) -> Change {
        Change::Service(name, None)
    }
}

impl Watched for EndpointSlice {
    const KIND: Kind = Kind::EndpointSlices;

    fn exists(&self, interner: &mut Interner) -> Option<Change> {
        let slice = convert::endpoint_slice(self, interner)?;
        Some(Change::Slice(slice.name.clone(), Some(Box::new(slice))))
    }

    fn gone(name: ObjectName) -> Change {
        Change::Slice(name, None)
    }
}

impl Watched for Node {
    const KIND: Kind = Kind::Node;

    fn exists(&self, interner: &mut Interner) -> Option<Change> {
        let node = convert::node(self, interner)?;
        Some(Change::Node(Some(Box::new(node))))
    }

    fn gone(_name: ObjectName) -> Change {
        Change::Node(None)
    }

    fn nothing_listed() -> Option<Change> {
        Some(Change::Node(None))
    }
}

impl Watched for ServiceCIDR {
    const KIND: Kind = Kind::ServiceCidrs;

    fn exists(&self, interner: &mut Interner) -> Option<Change> {
        let (name, networks) = convert::service_cidr(self, interner)?;
        Some(Change::ServiceCidr(name, Some(networks)))
    }

    fn gone(name: ObjectName) -> Change {
        Change::ServiceCidr(name.name, None)
    }
}

impl Watched for PartialObjectMeta<Pod> {
    const KIND: Kind = Kind::Pods;

    fn exists(&self, interner: &mut Interner) -> Option<Change> {
        let pod = convert::pod(&self.metadata, interner)?;
        Some(Change::Pod(pod.name.clone(), Some(Box::new(pod))))
    }

    fn gone(name: ObjectName) -> Change {
        Change::Pod(name, None)
    }
}

impl Watched for PartialObjectMeta<Namespace> {
    const KIND: Kind = Kind::Namespaces;

    fn exists(&self, interner: &mut Interner) -> Option<Change> {
        let namespace = convert::namespace(&self.metadata, interner)?;
        Some(Change::Namespace(namespace.name.clone(), Some(namespace)))
    }

    fn gone(name: ObjectName) -> Change {
        Change::Namespace(name.name, None)
    }
}
