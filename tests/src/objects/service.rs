//! A Service with its `EndpointSlices`.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::EndpointObject;

/// A port's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// `internalTrafficPolicy` or `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Every endpoint.
    Cluster,
    /// Those on the node that is asked.
    Local,
}

impl TrafficPolicy {
    const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

/// A port of a Service, and of its endpoints.
#[derive(Clone, Debug)]
#[must_use]
pub struct Port {
    name: String,
    protocol: Protocol,
    number: u16,
    target: u16,
    on_nodes: Option<u16>,
}

impl Port {
    /// A TCP port; endpoints listen on the same.
    pub fn tcp(name: &str, port: u16) -> Self {
        Self::new(name, Protocol::Tcp, port)
    }

    /// A UDP port; endpoints listen on the same.
    pub fn udp(name: &str, port: u16) -> Self {
        Self::new(name, Protocol::Udp, port)
    }

    /// An SCTP port; endpoints listen on the same.
    pub fn sctp(name: &str, port: u16) -> Self {
        Self::new(name, Protocol::Sctp, port)
    }

    fn new(name: &str, protocol: Protocol, port: u16) -> Self {
        Self {
            name: name.to_owned(),
            protocol,
            number: port,
            target: port,
            on_nodes: None,
        }
    }

    /// Where endpoints listen.
    pub fn target(mut self, target: u16) -> Self {
        self.target = target;
        self
    }

    /// Where every node listens.
    pub fn node_port(mut self, node_port: u16) -> Self {
        self.on_nodes = Some(node_port);
        self
    }

    fn of_service(&self) -> Value {
        let mut port = json!({
            "name": self.name,
            "protocol": self.protocol.name(),
            "port": self.number,
            "targetPort": self.target,
        });
        if let Some(node_port) = self.on_nodes {
            port["nodePort"] = json!(node_port);
        }
        port
    }

    fn of_slice(&self) -> Value {
        json!({ "name": self.name, "protocol": self.protocol.name(), "port": self.target })
    }
}

/// A Service with its endpoints. Its type is what its ports and addresses ask for.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServiceObject {
    namespace: String,
    name: String,
    cluster_ips: Vec<String>,
    external_ips: Vec<IpAddr>,
    load_balancer_ips: Vec<IpAddr>,
    internal_policy: TrafficPolicy,
    external_policy: TrafficPolicy,
    health_check_node_port: Option<u16>,
    affinity_s: Option<u32>,
    source_ranges: Vec<String>,
    ports: Vec<Port>,
    endpoints: Vec<EndpointObject>,
}

impl ServiceObject {
    /// A Service without addresses, ports and endpoints.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            cluster_ips: Vec::new(),
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            internal_policy: TrafficPolicy::Cluster,
            external_policy: TrafficPolicy::Cluster,
            health_check_node_port: None,
            affinity_s: None,
            source_ranges: Vec::new(),
            ports: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    /// Its cluster IPs, at most one per family. Without any an API server gives it some.
    pub fn cluster_ips(mut self, addresses: &[&str]) -> Self {
        self.cluster_ips = addresses
            .iter()
            .map(|&address| address.to_owned())
            .collect();
        self
    }

    /// Adds a port.
    pub fn port(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// Adds one of its `externalIPs`.
    pub fn external_ip(mut self, address: impl Into<IpAddr>) -> Self {
        self.external_ips.push(address.into());
        self
    }

    /// Adds an address that a load balancer has given it.
    pub fn load_balancer_ip(mut self, address: impl Into<IpAddr>) -> Self {
        self.load_balancer_ips.push(address.into());
        self
    }

    /// Sets `internalTrafficPolicy`.
    pub fn internal_policy(mut self, policy: TrafficPolicy) -> Self {
        self.internal_policy = policy;
        self
    }

    /// Sets `externalTrafficPolicy`.
    pub fn external_policy(mut self, policy: TrafficPolicy) -> Self {
        self.external_policy = policy;
        self
    }

    /// Sets where load balancers ask every node whether it has endpoints.
    pub fn health_check_node_port(mut self, port: u16) -> Self {
        self.health_check_node_port = Some(port);
        self
    }

    /// Has clients stick to an endpoint for so many seconds.
    pub fn affinity_s(mut self, timeout_s: u32) -> Self {
        self.affinity_s = Some(timeout_s);
        self
    }

    /// Adds a network of those that may reach its load balancers' addresses.
    pub fn source_range(mut self, network: &str) -> Self {
        self.source_ranges.push(network.to_owned());
        self
    }

    /// Adds an endpoint: a pod, a node, or an [`EndpointObject`].
    pub fn endpoint(mut self, endpoint: impl Into<EndpointObject>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Takes all endpoints away.
    pub fn without_endpoints(mut self) -> Self {
        self.endpoints.clear();
        self
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of its endpoints.
    #[must_use]
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// The Service and its slices.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        let mut objects = vec![self.service()];
        objects.extend(self.slices());
        objects
    }

    /// The Service.
    #[must_use]
    pub fn service(&self) -> Value {
        let ports: Vec<_> = self.ports.iter().map(Port::of_service).collect();
        let families: Vec<_> = self.cluster_ips.iter().map(|ip| family(ip)).collect();
        let mut spec = json!({
            "type": self.kind(),
            "ports": ports,
            "internalTrafficPolicy": self.internal_policy.name(),
            "ipFamilyPolicy": if families.len() == 1 { "SingleStack" } else { "PreferDualStack" },
            "sessionAffinity": "None",
        });
        if let Some(first) = self.cluster_ips.first() {
            spec["clusterIP"] = json!(first);
            spec["clusterIPs"] = json!(self.cluster_ips);
            spec["ipFamilies"] = json!(families);
        }
        if !self.external_ips.is_empty() {
            spec["externalIPs"] = json!(self.external_ips);
        }
        if self.kind() != "ClusterIP" || !self.external_ips.is_empty() {
            spec["externalTrafficPolicy"] = json!(self.external_policy.name());
        }
        if let Some(port) = self.health_check_node_port {
            spec["healthCheckNodePort"] = json!(port);
        }
        if let Some(timeout_s) = self.affinity_s {
            spec["sessionAffinity"] = json!("ClientIP");
            spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": timeout_s}});
        }
        if !self.source_ranges.is_empty() {
            spec["loadBalancerSourceRanges"] = json!(self.source_ranges);
        }
        let mut service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "namespace": self.namespace, "name": self.name },
            "spec": spec,
        });
        if !self.load_balancer_ips.is_empty() {
            let ingress: Vec<_> = self
                .load_balancer_ips
                .iter()
                .map(|ip| json!({ "ip": ip, "ipMode": "VIP" }))
                .collect();
            service["status"] = json!({ "loadBalancer": { "ingress": ingress } });
        }
        service
    }

    /// One slice per family of its cluster IPs in which it has endpoints.
    #[must_use]
    pub fn slices(&self) -> Vec<Value> {
        let ports: Vec<_> = self.ports.iter().map(Port::of_slice).collect();
        let is_asked_for = |name: &str| {
            self.cluster_ips.is_empty() || self.cluster_ips.iter().any(|ip| family(ip) == name)
        };
        let slice = |(is_v4, family): (bool, &str)| {
            let entries = self.endpoints.iter();
            let entries: Vec<_> = entries
                .filter_map(|endpoint| endpoint.entry(is_v4, &self.namespace))
                .collect();
            let suffix = family.to_lowercase();
            (!entries.is_empty()).then(|| {
                json!({
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "namespace": self.namespace,
                        "name": format!("{}-{suffix}", self.name),
                        "labels": { "kubernetes.io/service-name": self.name },
                    },
                    "addressType": family,
                    "ports": ports,
                    "endpoints": entries,
                })
            })
        };
        [(true, "IPv4"), (false, "IPv6")]
            .into_iter()
            .filter(|(_, family)| is_asked_for(family))
            .filter_map(slice)
            .collect()
    }

    fn kind(&self) -> &'static str {
        if !self.load_balancer_ips.is_empty() {
            "LoadBalancer"
        } else if self.ports.iter().any(|port| port.on_nodes.is_some()) {
            "NodePort"
        } else {
            "ClusterIP"
        }
    }
}

fn family(address: &str) -> &'static str {
    if address.contains(':') {
        "IPv6"
    } else {
        "IPv4"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_the_type_that_its_addresses_and_ports_ask_for() {
        let plain = ServiceObject::new("shop", "web").port(Port::tcp("http", 80));
        let on_nodes = plain.clone().port(Port::udp("dns", 53).node_port(30053));
        let balanced = on_nodes.clone().load_balancer_ip([192, 0, 2, 1]);

        let kinds =
            [plain, on_nodes, balanced].map(|service| service.service()["spec"]["type"].clone());

        assert_eq!(kinds, ["ClusterIP", "NodePort", "LoadBalancer"]);
    }

    #[test]
    fn families_are_in_the_order_of_the_cluster_ips() {
        let service = ServiceObject::new("shop", "web").cluster_ips(&["fd10:96::1", "10.96.0.1"]);

        let object = service.service();

        assert_eq!(object["spec"]["clusterIP"], "fd10:96::1");
        assert_eq!(object["spec"]["ipFamilies"], json!(["IPv6", "IPv4"]));
    }
}
