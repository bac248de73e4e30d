//! The content of one file: YAML documents (JSON is YAML), each an object or a List of objects.
//!
//! The type of an object is only known from its `kind`, which may stand anywhere in it. So each
//! document is read twice: for its head, then as what the head says. That way every error has its
//! line and column.

mod list;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Options, with_deserializer_from_str_with_options};

use crate::model::convert::{self, Interner};
use crate::model::{EndpointSlice, Label, Namespace, Node, ObjectName, Pod, Service};
use crate::source::Interest;

/// An object and the line where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) line: usize,
    pub(super) object: Object,
}

/// An object; without a model if it is of no concern to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Service(ObjectName, Option<Box<Service>>),
    Slice(ObjectName, Option<Box<EndpointSlice>>),
    /// This node's own.
    Node(Box<Node>),
    ServiceCidr(Label, Vec<IpNet>),
    /// One of this node's.
    Pod(ObjectName, Option<Box<Pod>>),
    Namespace(Namespace),
}

/// Why a file cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) reason: String,
}

/// What a document begins with, wherever it stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    api_version: String,
    kind: String,
}

/// What a head announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Service,
    EndpointSlice,
    Node,
    ServiceCidr,
    Pod,
    Namespace,
    List,
    Other,
}

/// An object of the API, as read.
enum Read {
    Service(Box<core::Service>),
    EndpointSlice(Box<discovery::EndpointSlice>),
    Node(Box<core::Node>),
    ServiceCidr(Box<networking::ServiceCIDR>),
    Pod(Box<PodMeta>),
    Namespace(Box<Meta>),
    Other,
}

/// What is read of a Pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodMeta {
    metadata: ObjectMeta,
    spec: Place,
}

/// Where a Pod is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Place {
    node_name: String,
}

/// What is read of a Namespace.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    metadata: ObjectMeta,
}

/// Everything that `content` declares and that is of `interest`.
pub(super) fn parse(
    content: &[u8],
    interest: &Interest,
    interner: &mut Interner,
) -> Result<Vec<Declared>, Broken> {
    let text = std::str::from_utf8(content).map_err(|error| {
        let line = content[..error.valid_up_to()]
            .split(|b| *b == b'\n')
            .count();
        Broken::at(line, error.to_string())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut declared = Vec::new();
    for (first_line, document) in documents(text) {
        let read = read(document, interest).map_err(|error| Broken::new(&error, first_line))?;
        for (line, read) in read {
            let line = first_line + line.max(1) - 1;
            let object = object(read, interest, interner);
            let object = object.map_err(|reason| Broken::at(line, reason))?;
            declared.extend(object.map(|object| Declared { line, object }));
        }
    }
    Ok(declared)
}

impl Broken {
    fn new(error: &serde_saphyr::Error, first_line: usize) -> Self {
        let (line, column) = error.location().map_or((1, 1), |location| {
            let number = |number: u64| usize::try_from(number).unwrap_or(1).max(1);
            (number(location.line()), number(location.column()))
        });
        let reason = error.without_snippet().to_string();
        Self {
            line: first_line + line - 1,
            column,
            reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    fn at(line: usize, reason: String) -> Self {
        Self {
            line,
            column: 1,
            reason,
        }
    }
}

impl Kind {
    fn of(head: &Head, interest: &Interest) -> Result<Self, serde_saphyr::Error> {
        Ok(match (head.api_version.as_str(), head.kind.as_str()) {
            ("", _) | (_, "") => {
                return Err(serde_saphyr::Error::custom(
                    "the object lacks apiVersion or kind",
                ));
            }
            ("v1", "Service") => Self::Service,
            ("discovery.k8s.io/v1", "EndpointSlice") => Self::EndpointSlice,
            ("v1", "Node") => Self::Node,
            ("networking.k8s.io/v1", "ServiceCIDR") => Self::ServiceCidr,
            ("v1", "Pod") if interest.has_pods => Self::Pod,
            ("v1", "Namespace") if interest.has_pods => Self::Namespace,
            ("v1", "List") => Self::List,
            (api_version, kind) => {
                tracing::debug!(api_version, kind, "object of another kind ignored");
                Self::Other
            }
        })
    }

    fn read<'de, D: Deserializer<'de>>(self, from: D) -> Result<Read, D::Error> {
        Ok(match self {
            Self::Service => Read::Service(Box::deserialize(from)?),
            Self::EndpointSlice => Read::EndpointSlice(Box::deserialize(from)?),
            Self::Node => Read::Node(Box::deserialize(from)?),
            Self::ServiceCidr => Read::ServiceCidr(Box::deserialize(from)?),
            Self::Pod => Read::Pod(Box::deserialize(from)?),
            Self::Namespace => Read::Namespace(Box::deserialize(from)?),
            Self::List | Self::Other => {
                serde::de::IgnoredAny::deserialize(from)?;
                Read::Other
            }
        })
    }
}

/// The documents of `text`, each with the line it begins on. In YAML three dashes at the start of
/// a line end a document wherever they stand, so no parser is needed to find them. Documents of
/// comments and directives only are left out.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut begin, mut begin_line) = (0, 1);
    let (mut has_marker, mut has_content) = (false, false);
    let mut position = 0;
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        let after_marker = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if after_marker.is_some() {
            if has_content {
                documents.push((begin_line, &text[begin..position]));
            }
            // Directives and comments before the first marker belong to the first document.
            if has_content || has_marker {
                (begin, begin_line, has_content) = (position, number, false);
            }
            has_marker = true;
        }
        let content = after_marker.unwrap_or(line).trim();
        has_content |= !(content.is_empty() || content.starts_with(['#', '%']));
        position += line.len();
    }
    if has_content {
        documents.push((begin_line, &text[begin..]));
    }
    documents
}

/// The objects of one document, each with its line in it.
fn read(document: &str, interest: &Interest) -> Result<Vec<(usize, Read)>, serde_saphyr::Error> {
    let head = serde_saphyr::from_str_with_options::<Option<Head>>(document, options())?;
    let Some(head) = head else {
        return Ok(Vec::new());
    };
    match Kind::of(&head, interest)? {
        Kind::List => list::read(document, interest),
        kind => {
            let read = with_deserializer_from_str_with_options(document, options(), |from| {
                kind.read(from)
            })?;
            Ok(vec![(1, read)])
        }
    }
}

/// Files are the operator's own: no limits on their size.
fn options() -> Options {
    serde_saphyr::options! { budget: None }
}

fn object(
    read: Read,
    interest: &Interest,
    interner: &mut Interner,
) -> Result<Option<Object>, String> {
    let nameless = || {
        "metadata.name or metadata.namespace is missing, or none that Kubernetes admits".to_owned()
    };
    Ok(match read {
        Read::Service(service) => {
            let name = convert::object_name(&service.metadata, interner).ok_or_else(nameless)?;
            let model = convert::service(&service, interner);
            if model.is_none() && awaits_cluster_ip(&service) {
                tracing::warn!(
                    service = %name,
                    "ignored: no spec.clusterIP, and without an API server nobody allocates one"
                );
            }
            Some(Object::Service(name, model.map(Box::new)))
        }
        Read::EndpointSlice(mut slice) => {
            name_ports(&mut slice);
            let name = convert::object_name(&slice.metadata, interner).ok_or_else(nameless)?;
            let model = convert::endpoint_slice(&slice, interner);
            Some(Object::Slice(name, model.map(Box::new)))
        }
        Read::Node(node) => {
            let node = convert::node(&node, interner).ok_or_else(nameless)?;
            (node.name == interest.node_name).then(|| Object::Node(Box::new(node)))
        }
        Read::ServiceCidr(cidr) => {
            let (name, networks) = convert::service_cidr(&cidr, interner).ok_or_else(nameless)?;
            Some(Object::ServiceCidr(name, networks))
        }
        Read::Pod(pod) if *pod.spec.node_name == *interest.node_name => {
            let name = convert::object_name(&pod.metadata, interner).ok_or_else(nameless)?;
            let model = convert::pod(&pod.metadata, interner);
            Some(Object::Pod(name, model.map(Box::new)))
        }
        Read::Namespace(namespace) => {
            let namespace = convert::namespace(&namespace.metadata, interner);
            Some(Object::Namespace(namespace.ok_or_else(nameless)?))
        }
        Read::Pod(_) | Read::Other => None,
    })
}

/// Whether an API server would have given the Service a cluster IP.
fn awaits_cluster_ip(service: &core::Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        spec.cluster_ip.as_deref().unwrap_or_default().is_empty()
            && spec.type_.as_deref() != Some("ExternalName")
    })
}

/// An API server gives a port without a name the empty one; here nobody else would.
fn name_ports(slice: &mut discovery::EndpointSlice) {
    for port in slice.ports.iter_mut().flatten() {
        port.name.get_or_insert_default();
    }
}

#[cfg(test)]
mod tests;
