//! Which endpoints each kind of client may use: one row per case that the Kubernetes project
//! found worth asserting for kube-proxy, in its order.

use netproxy_common::Verdict::{self, Drop, Reject};

use super::{endpoint, letters, plan_one, service, slice, this_node};
use crate::model::TrafficPolicy::{self, Cluster, Local};

/// One case: a service and its endpoints, and what must come out.
struct Case {
    name: &'static str,
    policies: Policies,
    /// The node's zone.
    zone: Option<&'static str>,
    /// In the words of [`endpoint`].
    endpoints: &'static [&'static str],
    internal: &'static str,
    external_cluster: &'static str,
    external_local: &'static str,
    /// Of a window that is empty.
    verdict: Verdict,
}

/// Internal policy, external policy, and whether there is a NodePort.
type Policies = (TrafficPolicy, TrafficPolicy, bool);

const INTERNAL_ONLY: Policies = (Cluster, Cluster, false);

const CASES: [Case; 32] = [
    Case {
        name: "01 every ready endpoint hinted, zone has some: own zone only",
        policies: INTERNAL_ONLY,
        zone: Some("a"),
        endpoints: &[
            "a ready zone:a",
            "b ready zone:b",
            "c ready zone:c",
            "d ready zone:a",
        ],
        internal: "a d",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "02 external policy Local: hints filter the cluster set, not the local set",
        policies: (Cluster, Local, true),
        zone: Some("a"),
        endpoints: &[
            "a ready local zone:a",
            "b ready local zone:b",
            "c ready zone:c",
            "d ready zone:a",
        ],
        internal: "a d",
        external_cluster: "a d",
        external_local: "a b",
        verdict: Drop,
    },
    Case {
        name: "03 internal policy Local: hints filter the cluster set, not the local set",
        policies: (Local, Cluster, true),
        zone: Some("a"),
        endpoints: &[
            "a ready local zone:a",
            "b ready local zone:b",
            "c ready zone:c",
            "d ready zone:a",
        ],
        internal: "a b",
        external_cluster: "a d",
        external_local: "a d",
        verdict: Drop,
    },
    Case {
        name: "04 node without labels: no filter",
        policies: INTERNAL_ONLY,
        zone: None,
        endpoints: &["a ready zone:a", "b ready zone:b"],
        internal: "a b",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "05 node with an empty zone label: no filter",
        policies: INTERNAL_ONLY,
        zone: Some(""),
        endpoints: &["a ready zone:a", "b ready zone:b"],
        internal: "a b",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "06 no endpoint hinted for the node's zone: no filter",
        policies: INTERNAL_ONLY,
        zone: Some("b"),
        endpoints: &["a ready zone:a", "c ready zone:c"],
        internal: "a c",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "07 unready endpoints are excluded and their missing hints do not count",
        policies: INTERNAL_ONLY,
        zone: Some("a"),
        endpoints: &["a ready zone:a", "b ready zone:b", "c zone:a", "d"],
        internal: "a",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "08 only unready endpoints in the own zone: all ready ones of other zones",
        policies: INTERNAL_ONLY,
        zone: Some("a"),
        endpoints: &["a zone:a", "b ready zone:b", "c ready zone:c", "d zone:a"],
        internal: "b c",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "09 one ready endpoint without a hint: no filter",
        policies: INTERNAL_ONLY,
        zone: Some("a"),
        endpoints: &[
            "a ready zone:a",
            "b ready zone:b",
            "c ready",
            "d ready zone:a",
        ],
        internal: "a b c d",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "10 an endpoint hinted for several zones matches each of them",
        policies: INTERNAL_ONLY,
        zone: Some("c"),
        endpoints: &[
            "a ready zone:a zone:b zone:c",
            "b ready zone:b zone:c",
            "c ready zone:b zone:d",
            "d ready zone:c",
        ],
        internal: "a b d",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        // kube-proxy's case switches node hints off by a feature gate, which is locked on by now:
        // what still ignores them is one endpoint without.
        name: "11 node hints are ignored, zone hints complete: own zone",
        policies: INTERNAL_ONLY,
        zone: Some("a"),
        endpoints: &[
            "a ready zone:a node:other",
            "b ready local zone:b node:this",
            "c ready zone:a",
        ],
        internal: "a c",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "12 every ready endpoint has node hints, one names this node: only that one",
        policies: INTERNAL_ONLY,
        zone: Some("a"),
        endpoints: &[
            "a ready local zone:a node:this",
            "b ready zone:a node:other",
            "c ready zone:b node:third",
        ],
        internal: "a",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "13 one ready endpoint without any hint: neither node nor zone filter",
        policies: INTERNAL_ONLY,
        zone: Some("a"),
        endpoints: &[
            "a ready local zone:a node:this",
            "b ready zone:b node:other",
            "c ready",
        ],
        internal: "a b c",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "14 no node hint for this node: its zone",
        policies: INTERNAL_ONLY,
        zone: Some("a"),
        endpoints: &[
            "a ready zone:a node:other",
            "b ready zone:a node:third",
            "c ready zone:b node:fourth",
        ],
        internal: "a b",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "15 hints and policy Local disagree: each window keeps its own set",
        policies: (Cluster, Local, true),
        zone: Some("a"),
        endpoints: &[
            "a ready local zone:a",
            "b ready local zone:b",
            "c ready zone:a",
            "d ready zone:b",
        ],
        internal: "a c",
        external_cluster: "a c",
        external_local: "a b",
        verdict: Drop,
    },
    Case {
        name: "16 internal policy Local without endpoints: rejected",
        policies: (Local, Cluster, false),
        zone: None,
        endpoints: &[],
        internal: "",
        external_cluster: "",
        external_local: "",
        verdict: Reject,
    },
    Case {
        name: "17 internal policy Local, all remote: dropped",
        policies: (Local, Cluster, false),
        zone: None,
        endpoints: &["a ready", "b ready"],
        internal: "",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "18 internal policy Local, all local",
        policies: (Local, Cluster, false),
        zone: None,
        endpoints: &["a ready local", "b ready local"],
        internal: "a b",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "19 internal policy Local, some local",
        policies: (Local, Cluster, false),
        zone: None,
        endpoints: &["a ready local", "b ready"],
        internal: "a",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "20 policy Cluster, none ready: rejected",
        policies: INTERNAL_ONLY,
        zone: None,
        endpoints: &["a", "b"],
        internal: "",
        external_cluster: "",
        external_local: "",
        verdict: Reject,
    },
    Case {
        name: "21 policy Cluster, some ready: the ready ones",
        policies: INTERNAL_ONLY,
        zone: None,
        endpoints: &["a", "b ready"],
        internal: "b",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "22 policy Cluster, all terminating but serving: all of them",
        policies: INTERNAL_ONLY,
        zone: None,
        endpoints: &["a serving terminating local", "b serving terminating"],
        internal: "a b",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "23 internal Local, external Cluster, some local: both sets",
        policies: (Local, Cluster, true),
        zone: None,
        endpoints: &["a ready local", "b ready"],
        internal: "a",
        external_cluster: "a b",
        external_local: "a b",
        verdict: Drop,
    },
    Case {
        name: "24 internal Cluster, external Local, some local: both sets",
        policies: (Cluster, Local, true),
        zone: None,
        endpoints: &["a ready local", "b ready"],
        internal: "a b",
        external_cluster: "a b",
        external_local: "a",
        verdict: Drop,
    },
    Case {
        name: "25 both Local, some local: the cluster set is there for the node's own clients",
        policies: (Local, Local, true),
        zone: None,
        endpoints: &["a ready local", "b ready"],
        internal: "a",
        external_cluster: "a b",
        external_local: "a",
        verdict: Drop,
    },
    Case {
        name: "26 both Local, all remote: local sets empty, dropped",
        policies: (Local, Local, true),
        zone: None,
        endpoints: &["a ready", "b ready"],
        internal: "",
        external_cluster: "a b",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "27 both Local, all remote and terminating: cluster set falls back, local dropped",
        policies: (Local, Local, true),
        zone: None,
        endpoints: &["a serving terminating", "b serving terminating"],
        internal: "",
        external_cluster: "a b",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "28 external Local, remote ready and local terminating: each set falls back alone",
        policies: (Cluster, Local, true),
        zone: None,
        endpoints: &[
            "a ready",
            "b local",
            "c serving terminating local",
            "d serving terminating",
        ],
        internal: "a",
        external_cluster: "a",
        external_local: "c",
        verdict: Drop,
    },
    Case {
        name: "29 external policy Local is ignored if there is no external frontend",
        policies: (Cluster, Local, false),
        zone: None,
        endpoints: &["a ready", "b ready local"],
        internal: "a b",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "30 internal Local without external frontends: no cluster set",
        policies: (Local, Cluster, false),
        zone: None,
        endpoints: &["a ready", "b ready local"],
        internal: "b",
        external_cluster: "",
        external_local: "",
        verdict: Drop,
    },
    Case {
        name: "31 no endpoints: rejected everywhere",
        policies: (Cluster, Local, true),
        zone: Some("a"),
        endpoints: &[],
        internal: "",
        external_cluster: "",
        external_local: "",
        verdict: Reject,
    },
    Case {
        name: "32 neither ready nor serving, terminating or not: none",
        policies: (Cluster, Local, true),
        zone: None,
        endpoints: &["a local", "b terminating local", "c", "d terminating"],
        internal: "",
        external_cluster: "",
        external_local: "",
        verdict: Reject,
    },
];

#[test]
fn endpoint_sets_are_those_of_kube_proxy() {
    for case in CASES {
        let (internal_policy, external_policy, has_node_port) = case.policies;
        let mut service = service();
        service.internal_policy = internal_policy;
        service.external_policy = external_policy;
        service.ports[0].node_port = has_node_port.then_some(30080);
        let mut node = this_node();
        node.zone = case.zone.map(Into::into);
        let endpoints = case.endpoints.iter().copied().map(endpoint).collect();

        let port = plan_one(&service, &[slice("s", endpoints)], &node);

        let windows = [
            letters(&port, port.range.internal),
            letters(&port, port.range.external_cluster),
            letters(&port, port.range.external_local),
        ];
        let expected = [case.internal, case.external_cluster, case.external_local];
        assert_eq!(windows, expected, "{}", case.name);
        assert_eq!(port.range.verdicts, [case.verdict; 3], "{}", case.name);
        assert_eq!(
            port.range.is_external_local,
            external_policy == Local && has_node_port,
            "{}",
            case.name
        );
    }
}
