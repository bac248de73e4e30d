//! The objects of a cluster of some size: which there are, with which addresses, and as the API server's
//! own controllers would write them.
//!
//! Service `i` has the cluster IP `10.96.1.0` + i, and the endpoints `10.1.0.0` + i × E and on. One more
//! service, the *sample*, has one endpoint, which scenarios change. Every address of `10.0.0.0/10` is
//! answered by one server ([`crate::backends`]).

use std::net::Ipv4Addr;

use netproxy_lab::control_plane::Write;
use serde_json::{Value, json};

/// The namespace of all services.
pub(crate) const NAMESPACE: &str = "bench";
/// Where all endpoints are.
pub(crate) const ENDPOINTS: &str = "10.0.0.0/10";
/// The port of every service.
pub(crate) const SERVICE_PORT: u16 = 80;
/// The port of every endpoint.
pub(crate) const ENDPOINT_PORT: u16 = 8080;

/// The name of the sample service and of its slice.
const SAMPLE: &str = "sample";
const SAMPLE_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 9);
const FIRST_CLUSTER_IP: u32 = u32::from_be_bytes([10, 96, 1, 0]);
const FIRST_ENDPOINT: u32 = u32::from_be_bytes([10, 1, 0, 0]);
const FIRST_SAMPLE_ENDPOINT: u32 = u32::from_be_bytes([10, 63, 0, 0]);
/// On how many nodes and in how many zones endpoints are.
const NODES: u32 = 100;
const ZONES: u32 = 3;

/// How large a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClusterSize {
    /// Services, each with one port.
    pub(crate) services: u32,
    /// Endpoints of each service, in one slice.
    pub(crate) endpoints_each: u32,
}

/// A frontend, and who may answer there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frontend {
    /// Its cluster IP.
    pub(crate) address: Ipv4Addr,
    /// The first of its endpoints' addresses, as a number.
    first: u32,
    /// How many follow one another.
    count: u32,
}

impl Frontend {
    /// Whether this is one of its endpoints.
    pub(crate) fn has(&self, endpoint: Ipv4Addr) -> bool {
        (self.first..self.first + self.count).contains(&endpoint.to_bits())
    }
}

/// The sample service, whose only endpoint is number `number`.
pub(crate) fn sample(number: u32) -> Frontend {
    Frontend {
        address: SAMPLE_IP,
        first: FIRST_SAMPLE_ENDPOINT + number,
        count: 1,
    }
}

/// Gives the sample service another endpoint.
pub(crate) fn move_sample(number: u32) -> Write {
    let endpoint = endpoint(sample(number).first, number);
    Write::Replace(
        format!("{}/{SAMPLE}", slices_path()),
        slice(SAMPLE, &[endpoint]),
    )
}

/// By which selector the sample's slice is watched.
pub(crate) fn sample_selector() -> String {
    format!("metadata.name={SAMPLE}")
}

/// As many endpoints of the sample service have addresses.
pub(crate) const MOST_SAMPLE_ENDPOINTS: u32 = 60_000;

impl ClusterSize {
    /// The frontend of service `number`.
    pub(crate) fn frontend(self, number: u32) -> Frontend {
        Frontend {
            address: Ipv4Addr::from_bits(FIRST_CLUSTER_IP + number),
            first: FIRST_ENDPOINT + number * self.endpoints_each,
            count: self.endpoints_each,
        }
    }

    /// All frontends, the sample's last; that may have any of its endpoints by now.
    pub(crate) fn frontends(self) -> Vec<Frontend> {
        let all = (0..self.services).map(|number| self.frontend(number));
        let moved = Frontend {
            count: MOST_SAMPLE_ENDPOINTS,
            ..sample(0)
        };
        all.chain([moved]).collect()
    }

    /// The writes that make the whole cluster.
    pub(crate) fn creation(self) -> impl Iterator<Item = Vec<Write>> + Send {
        let sample_slice = slice(SAMPLE, &[endpoint(sample(0).first, 0)]);
        let all = (0..self.services).map(move |number| {
            let name = name_of(number);
            vec![
                Write::Create(
                    services_path(),
                    service(&name, self.frontend(number).address),
                ),
                Write::Create(slices_path(), slice(&name, &self.endpoints(number))),
            ]
        });
        all.chain([vec![
            Write::Create(services_path(), service(SAMPLE, SAMPLE_IP)),
            Write::Create(slices_path(), sample_slice),
        ]])
    }

    /// The write that makes one endpoint of service `number` unready, or ready again.
    pub(crate) fn toggle(self, number: u32, is_ready: bool) -> Write {
        let name = name_of(number);
        let mut endpoints = self.endpoints(number);
        if let Some(first) = endpoints.first_mut() {
            first["conditions"]["ready"] = json!(is_ready);
            first["conditions"]["serving"] = json!(is_ready);
        }
        Write::Replace(
            format!("{}/{name}", slices_path()),
            slice(&name, &endpoints),
        )
    }

    fn endpoints(self, number: u32) -> Vec<Value> {
        let Frontend { first, count, .. } = self.frontend(number);
        (0..count)
            .map(|it| endpoint(first + it, number + it))
            .collect()
    }
}

/// The namespace of the objects.
pub(crate) fn namespace() -> Write {
    Write::Create(
        "/api/v1/namespaces".to_owned(),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
    )
}

fn name_of(number: u32) -> String {
    format!("service-{number:05}")
}

/// Where Services are made.
pub(crate) fn services_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/services")
}

/// Where their slices are made.
pub(crate) fn slices_path() -> String {
    format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices")
}

fn service(name: &str, cluster_ip: Ipv4Addr) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"},
        },
        "spec": {
            "clusterIP": cluster_ip,
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"name": "http", "port": SERVICE_PORT, "targetPort": ENDPOINT_PORT}],
        },
    })
}

/// As the controller of `EndpointSlices` writes it; the object itself is named by the service, so that it
/// is found again.
fn slice(service: &str, endpoints: &[Value]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": service,
            "namespace": NAMESPACE,
            "generateName": format!("{service}-"),
            "labels": {
                "app.kubernetes.io/name": service,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": service,
            },
            "annotations": {
                "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": ENDPOINT_PORT}],
        "endpoints": endpoints,
    })
}

fn endpoint(address: u32, node: u32) -> Value {
    let pod = format!("pod-{address:08x}-x7k2p");
    json!({
        "addresses": [Ipv4Addr::from_bits(address)],
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": format!("worker-{:03}", node % NODES),
        "zone": format!("zone-{}", node % ZONES),
        "targetRef": {
            "kind": "Pod",
            "namespace": NAMESPACE,
            "name": pod,
            "uid": format!("00000000-0000-4000-8000-0000{address:08x}"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_belong_to_one_frontend_only() {
        let size = ClusterSize {
            services: 3,
            endpoints_each: 2,
        };

        let second = size.frontend(1);

        let last = Ipv4Addr::new(10, 1, 0, 3);
        assert_eq!(second.address, Ipv4Addr::new(10, 96, 1, 1));
        assert!(second.has(Ipv4Addr::new(10, 1, 0, 2)) && second.has(last));
        assert!(!size.frontend(0).has(last) && !size.frontend(2).has(last));
    }
}
