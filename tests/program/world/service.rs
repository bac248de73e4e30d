//! Services and their endpoints, as model objects.

use std::net::{IpAddr, SocketAddr};

use netproxy::model::{
    Balancing, Endpoint, EndpointSlice, Hints, Label, ObjectName, Service, ServicePort, SlicePort,
    TrafficPolicy,
};
use netproxy::plan::{NodeView, WantedPort, plan_service};
use netproxy::settings::Masquerade;

use super::topology::{At as _, Flavour, NODE_PORT, POD_PORT, SERVICE_PORT};

/// The node's name.
const HERE: &str = "here";

/// A service of one port with its endpoints, at every kind of frontend.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    flavour: Flavour,
    number: u8,
    service: Service,
    port: u16,
    endpoints: Vec<Endpoint>,
    masquerade: Masquerade,
    external_balancing: Balancing,
}

impl Shop {
    /// Service `number` (1 to 9) without endpoints.
    pub(crate) fn new(flavour: Flavour, number: u8) -> Self {
        let name = ObjectName::new(
            "default",
            format!("shop{number}-{}-{}", flavour.protocol, flavour.family),
        );
        let service = Service {
            name,
            cluster_ips: vec![flavour.cluster_ip(number)],
            external_ips: vec![flavour.external_ip(number)],
            load_balancer_vips: vec![flavour.vip(number)],
            source_ranges: Vec::new(),
            ports: vec![ServicePort {
                name: Label::from(""),
                protocol: flavour.protocol,
                port: SERVICE_PORT,
                node_port: Some(NODE_PORT + u16::from(number)),
            }],
            internal_policy: TrafficPolicy::Cluster,
            external_policy: TrafficPolicy::Cluster,
            affinity_s: None,
            balancing: None,
            health_check_node_port: None,
        };
        Self {
            flavour,
            number,
            service,
            port: POD_PORT,
            endpoints: Vec::new(),
            masquerade: Masquerade::default(),
            external_balancing: Balancing::default(),
        }
    }

    /// With endpoints that listen at another port.
    pub(crate) fn target_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// With an endpoint on this node.
    pub(crate) fn here(self, address: IpAddr) -> Self {
        self.endpoint(address, HERE)
    }

    /// With an endpoint on another node.
    pub(crate) fn elsewhere(self, address: IpAddr) -> Self {
        self.endpoint(address, "elsewhere")
    }

    fn endpoint(mut self, address: IpAddr, node: &str) -> Self {
        self.endpoints.push(Endpoint {
            address,
            node: Some(Label::from(node)),
            ready: true,
            serving: true,
            terminating: false,
            hints: None,
        });
        self
    }

    /// All endpoints so far end, but serve on.
    pub(crate) fn ending(mut self) -> Self {
        for endpoint in &mut self.endpoints {
            endpoint.ready = false;
            endpoint.terminating = true;
        }
        self
    }

    /// All endpoints so far end, and do not serve any more.
    pub(crate) fn ended(mut self) -> Self {
        self = self.ending();
        for endpoint in &mut self.endpoints {
            endpoint.serving = false;
        }
        self
    }

    /// Without the endpoint at this address.
    pub(crate) fn without(mut self, address: IpAddr) -> Self {
        self.endpoints
            .retain(|endpoint| endpoint.address != address);
        self
    }

    /// All endpoints without a hint so far are for the clients of this node.
    pub(crate) fn hinted_here(self) -> Self {
        self.hinted(HERE)
    }

    /// All endpoints without a hint so far are for the clients of another node.
    pub(crate) fn hinted_elsewhere(self) -> Self {
        self.hinted("elsewhere")
    }

    fn hinted(mut self, node: &str) -> Self {
        for endpoint in &mut self.endpoints {
            endpoint.hints.get_or_insert_with(|| {
                Box::new(Hints {
                    nodes: vec![Label::from(node)],
                    zones: Vec::new(),
                })
            });
        }
        self
    }

    /// Clients stick to an endpoint for so long.
    pub(crate) fn sticky(mut self, seconds: u32) -> Self {
        self.service.affinity_s = Some(seconds);
        self
    }

    /// Clients do not stick to endpoints.
    pub(crate) fn not_sticky(mut self) -> Self {
        self.service.affinity_s = None;
        self
    }

    /// The same service without any endpoint.
    pub(crate) fn without_endpoints(mut self) -> Self {
        self.endpoints.clear();
        self
    }

    /// With load-balancer VIPs that are open to these networks only.
    pub(crate) fn open_to(mut self, networks: &[&str]) -> Self {
        let networks = networks.iter().map(|network| network.parse().unwrap());
        self.service.source_ranges = networks.collect();
        self
    }

    /// On a node that hides such clients.
    pub(crate) fn masquerading(mut self, masquerade: Masquerade) -> Self {
        self.masquerade = masquerade;
        self
    }

    /// With endpoints that are chosen so, for all clients.
    pub(crate) fn balanced(mut self, balancing: Balancing) -> Self {
        self.service.balancing = Some(balancing);
        self
    }

    /// On a node that chooses them so for external clients.
    pub(crate) fn on_a_node_that_balances(mut self, balancing: Balancing) -> Self {
        self.external_balancing = balancing;
        self
    }

    /// With the name and frontends of another number, and these endpoints.
    pub(crate) fn renumbered(self, number: u8) -> Self {
        let balancing = self.service.balancing;
        let mut other = Self::new(self.flavour, number);
        other.endpoints = self.endpoints;
        other.service.balancing = balancing;
        other
    }

    /// With another name of its port, here and in its slice.
    pub(crate) fn port_named(mut self, name: &str) -> Self {
        self.service.ports[0].name = Label::from(name);
        self
    }

    /// With both traffic policies Local.
    pub(crate) fn local_only(mut self) -> Self {
        self.service.internal_policy = TrafficPolicy::Local;
        self.service.external_policy = TrafficPolicy::Local;
        self
    }

    /// Its name.
    pub(crate) fn name(&self) -> ObjectName {
        self.service.name.clone()
    }

    /// Where its endpoints listen.
    pub(crate) fn endpoints(&self) -> Vec<SocketAddr> {
        let addresses = self.endpoints.iter().map(|endpoint| endpoint.address);
        addresses.map(|address| address.at(self.port)).collect()
    }

    /// The frontend at its cluster IP.
    pub(crate) fn cluster_ip(&self) -> SocketAddr {
        self.flavour.cluster_ip(self.number).at(SERVICE_PORT)
    }

    /// The frontend at its load-balancer VIP.
    pub(crate) fn vip(&self) -> SocketAddr {
        self.flavour.vip(self.number).at(SERVICE_PORT)
    }

    /// The frontend at its external IP.
    pub(crate) fn external_ip(&self) -> SocketAddr {
        self.flavour.external_ip(self.number).at(SERVICE_PORT)
    }

    /// The frontend at the node's address and its NodePort.
    pub(crate) fn node_port(&self) -> SocketAddr {
        let port = NODE_PORT + u16::from(self.number);
        self.flavour.node().at(port)
    }

    /// What the plan makes of it.
    pub(crate) fn plan(&self) -> (ObjectName, Vec<WantedPort>) {
        let slice = EndpointSlice {
            name: ObjectName::new("default", "slice"),
            service: self.name(),
            family: self.flavour.family,
            ports: vec![SlicePort {
                name: self.service.ports[0].name.clone(),
                protocol: self.flavour.protocol,
                port: self.port,
            }],
            endpoints: self.endpoints.clone(),
            triggered_unix_ns: None,
        };
        let node = NodeView {
            masquerade: self.masquerade,
            external_balancing: self.external_balancing,
            ..NodeView::named(HERE)
        };
        (self.name(), plan_service(&self.service, &[&slice], &node))
    }
}
