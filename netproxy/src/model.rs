//! Our own small types of what Kubernetes tells us, free of k8s-openapi's.
//!
//! Built once by a source, compact (a node holds every endpoint of the cluster), and already
//! reduced to what a proxy may know: headless and `ExternalName` services, FQDN slices and ports
//! without a number never get here.

mod change;
pub mod convert;
mod endpoint;
mod name;
mod node;
mod pod;
mod pod_uid;
mod service;

pub use change::Change;
pub use endpoint::{Endpoint, EndpointSlice, Hints, SlicePort};
pub use name::{Family, Label, ObjectName, Protocol};
pub use node::Node;
pub use pod::{Namespace, Pod, SocketWish};
pub use pod_uid::PodUid;
pub(crate) use service::families_of;
pub use service::{Balancing, Service, ServicePort, TrafficPolicy};
