//! A service that changes last in every step: who serves its latest state has taken in all that came
//! before it, of Services by its port and of `EndpointSlices` by the endpoint's port.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::Result;
use netproxy_lab::{
    control_plane::Write,
    probe::{Means, Probe, Reply},
};
use serde_json::{Value, json};

use crate::{
    case::{Family, Server},
    generate::SERVERS_PORTS,
    manifest::{Addresses, NAMESPACE},
    objects::{self, Group, Objects},
    twin::{Manner, Twin},
    vantage::Vantage,
};

const NAME: &str = "sentinel";
const CLUSTER_IPS: [&str; 2] = ["10.96.0.2", "fd10:96::2"];
const FIRST_PORT: u16 = 1000;
const PORTS: u16 = 30_000;
/// An answer comes in well under a millisecond.
const PATIENCE_MS: u64 = 150;

/// Its state.
#[derive(Debug, Default)]
pub(crate) struct Sentinel {
    generation: u16,
    objects: Objects,
}

impl Sentinel {
    /// Moves it to the next state, by these writes.
    pub(crate) fn move_on(&mut self, at: &dyn Addresses) -> Vec<Vec<Write>> {
        self.generation += 1;
        let slices = [Family::V4, Family::V6].map(|family| self.slice(family, at));
        let group = Group::given(self.service(), slices.into());
        let objects = Objects::from([(NAME.to_owned(), group)]);
        let writes = objects::writes(&self.objects, &objects);
        self.objects = objects;
        writes
    }

    /// Whether both nodes serve the present state, in both families.
    pub(crate) fn is_seen_by(&self, twin: &mut Twin<'_>) -> Result<bool> {
        let mut targets = Vec::new();
        for ip in CLUSTER_IPS {
            targets.push(SocketAddr::new(ip.parse()?, self.port()));
        }
        let probe = |target| Probe {
            means: Means::Tcp,
            targets: vec![target],
            tries: 1,
            failures: 1,
            timeout_ms: PATIENCE_MS,
            kept_as: None,
        };
        let probes: Vec<_> = targets.into_iter().map(probe).collect();
        let from = [Vantage::PodA, Vantage::PodB].map(|vantage| (vantage, probes.clone()));
        let replies = twin.ask(Manner::Fast, BTreeMap::from(from))?;
        let mut all = replies.values().flatten().flatten().flatten();
        Ok(all.all(
            |reply| matches!(reply, Reply::Answered { port, .. } if *port == self.endpoint_port()),
        ))
    }

    fn port(&self) -> u16 {
        FIRST_PORT + self.generation % PORTS
    }

    fn endpoint_port(&self) -> u16 {
        SERVERS_PORTS[usize::from(self.generation % 2)]
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": NAMESPACE, "name": NAME},
            "spec": {
                "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack",
                "clusterIP": CLUSTER_IPS[0],
                "clusterIPs": CLUSTER_IPS,
                "ports": [
                    {"name": "tcp", "protocol": "TCP", "port": self.port()},
                    // kube-proxy cleans up UDP flows when endpoints of a UDP port have changed, of
                    // any service: this makes it every time.
                    {"name": "udp", "protocol": "UDP", "port": self.port()},
                ],
            },
        })
    }

    fn slice(&self, family: Family, at: &dyn Addresses) -> Value {
        let (kind, suffix) = match family {
            Family::V4 => ("IPv4", "ipv4"),
            Family::V6 => ("IPv6", "ipv6"),
        };
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": NAMESPACE,
                "name": format!("{}-{suffix}", NAME),
                "labels": {"kubernetes.io/service-name": NAME},
            },
            "addressType": kind,
            "ports": [
                {"name": "tcp", "protocol": "TCP", "port": self.endpoint_port()},
                {"name": "udp", "protocol": "UDP", "port": self.endpoint_port()},
            ],
            "endpoints": [{
                "addresses": [at.of(Server::A2, family)],
                "conditions": {"ready": true},
                "nodeName": Server::A2.node().name(),
            }],
        })
    }
}
