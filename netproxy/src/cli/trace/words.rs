//! What the maps tell about a packet's destination, and why things are as they are, in words.

use std::net::SocketAddr;

use netproxy::datapath::{EndpointEntry, FrontendEntry, ServiceEntry};
use netproxy::model::Protocol;
use netproxy_common::{AddressFlags, FrontendKind, RangeFlags};
use nix::errno::Errno;

use super::packet::Part;
use super::report::{AtSocket, Set};
use crate::cli::clients::Client;
use crate::cli::service_name;

/// What a destination means to this node.
#[derive(Debug)]
pub(super) struct Meaning<'a> {
    pub(super) place: SocketAddr,
    pub(super) address: AddressFlags,
    pub(super) frontend: Option<FrontendEntry>,
    pub(super) service: Option<&'a ServiceEntry>,
    pub(super) endpoints: Vec<EndpointEntry>,
}

impl Meaning<'_> {
    /// What it is asked for.
    pub(super) fn told(&self) -> String {
        let place = self.place;
        let (Some(frontend), Some(service)) = (&self.frontend, self.service) else {
            return self.nobody();
        };
        let shown = service_name::shown(&service.key);
        match frontend.kind {
            FrontendKind::ClusterIp => format!("{shown}, at its cluster IP {place}"),
            FrontendKind::NodePort => format!(
                "{shown}, at its node port {} on this node's address {}",
                place.port(),
                place.ip()
            ),
            FrontendKind::LoadBalancer => {
                format!("{shown}, at its load balancer's address {place}")
            }
            FrontendKind::ExternalIp => format!("{shown}, at its external IP {place}"),
        }
    }

    fn nobody(&self) -> String {
        let (address, port) = (self.place.ip(), self.place.port());
        let has = |bits| self.address.has(bits);
        if has(AddressFlags::LEFT_ALONE) {
            format!("{address}, a cluster IP that a device of this node has: it is left alone")
        } else if has(AddressFlags::CLUSTER_IP) {
            format!("port {port} of the cluster IP {address}, which no service has")
        } else if has(AddressFlags::VIP) {
            format!("port {port} of {address}, an address of services of which none has this port")
        } else if has(AddressFlags::LINGERING) {
            format!("{address}, which was a service's; only connections to it live on")
        } else if has(AddressFlags::NODE_PORTS) {
            format!("{address}, this node's own, on which no node port {port} answers")
        } else if has(AddressFlags::NODE) {
            format!("{address}, this node's own, on which node ports do not answer")
        } else {
            "nothing of netproxy's".to_owned()
        }
    }

    /// Why a packet came through as it was.
    pub(super) fn untouched(&self, part: &Part) -> &'static str {
        let is_asked = self.frontend.is_some() || self.address.has(AddressFlags::CLUSTER_IP);
        if !is_asked || self.address.has(AddressFlags::LEFT_ALONE) {
            "nothing of netproxy's is asked: the packet passes untouched"
        } else if part.begins() {
            "the packet passes untouched: its source is no host's, or its frame is not for this node"
        } else {
            "the packet passes untouched: it opens no connection, and belongs to none that netproxy knows"
        }
    }

    fn window(&self, clients: Client) -> (u32, u32) {
        self.service.map_or((0, 0), |service| {
            let (window, _) = clients.window(&service.range);
            (window.offset, window.count)
        })
    }

    /// The set of endpoints that was chosen from. Whether a client counts as one of this node's under policy Local is
    /// the programs' to know; `is_near` is what its device tells, `chosen` what came of it.
    pub(super) fn set(&self, is_near: bool, chosen: Option<SocketAddr>) -> Option<Set> {
        let (frontend, service) = (self.frontend.as_ref()?, self.service?);
        let mut clients = if frontend.kind == FrontendKind::ClusterIp {
            Client::Internal
        } else if service.range.flags & RangeFlags::EXTERNAL_LOCAL == 0 || is_near {
            Client::External
        } else {
            Client::ExternalLocal
        };
        if service.range.flags & RangeFlags::EXTERNAL_LOCAL != 0 && !self.admits(clients, chosen) {
            clients = match clients {
                Client::External => Client::ExternalLocal,
                Client::ExternalLocal => Client::External,
                Client::Internal => Client::Internal,
            };
        }
        Some(Set {
            clients,
            usable: self.window(clients).1,
            total: self.endpoints.len(),
        })
    }

    /// Whether what came of it is possible for such clients.
    fn admits(&self, clients: Client, chosen: Option<SocketAddr>) -> bool {
        let (offset, count) = self.window(clients);
        let Some(chosen) = chosen else {
            return count == 0;
        };
        let window = offset..offset.saturating_add(count);
        (0..).zip(&self.endpoints).any(|(at, endpoint)| {
            window.contains(&at) && SocketAddr::new(endpoint.address, endpoint.port) == chosen
        })
    }

    /// Whether the endpoint is known to be on this node.
    pub(super) fn is_local(&self, endpoint: SocketAddr) -> bool {
        self.endpoints
            .iter()
            .any(|known| known.is_local && SocketAddr::new(known.address, known.port) == endpoint)
    }

    /// What a process's socket is told that asks for it: one of the host, or of a pod.
    pub(super) fn at_socket(&self, protocol: Protocol, is_host: bool) -> Option<AtSocket> {
        let (frontend, service) = (self.frontend.as_ref()?, self.service?);
        let range = &service.range;
        let is_internal = frontend.kind == FrontendKind::ClusterIp;
        let is_own = is_host && self.address.has(AddressFlags::NODE);
        let clients = if is_internal {
            Client::Internal
        } else {
            Client::External
        };
        let (_, usable) = self.window(clients);
        let hides = !is_host
            && if is_internal {
                range.flags & RangeFlags::MASQUERADE_INTERNAL != 0
            } else {
                range.flags & RangeFlags::MASQUERADE_EXTERNAL != 0
                    && range.flags & RangeFlags::EXTERNAL_LOCAL == 0
            };
        let left = if protocol == Protocol::Sctp {
            Some("the kernel calls no program for sockets of SCTP")
        } else if hides {
            Some("endpoints are not to see the client's address, which takes packets")
        } else if range.affinity_s != 0 && !is_own {
            Some("clients stick to an endpoint, which takes their address: it is on packets only")
        } else if frontend.kind == FrontendKind::LoadBalancer && range.source_ranges != 0 && !is_own
        {
            Some("who may ask is told by the client's address, which is on packets only")
        } else {
            None
        };
        let (is_balanced, why) = match left {
            Some(why) => (false, why.to_owned()),
            None if usable == 0 => (
                false,
                "there is no endpoint for it: the call fails at once (ECONNREFUSED), or, where a traffic policy \
                 is the reason, its packet is dropped"
                    .to_owned(),
            ),
            None => (
                true,
                format!(
                    "a process's connect() is sent straight to one of {usable} endpoints, and its packets never \
                     name the service, unless its pod has opted out or only the host's processes are balanced; \
                     what follows is the way of a packet that does name it"
                ),
            ),
        };
        Some(AtSocket { is_balanced, why })
    }
}

/// Why the stack has no way.
pub(super) fn errno(number: i32) -> String {
    let known = Errno::from_raw(number);
    match known {
        Errno::EXDEV => "its source is not routed back by that device (rp_filter)".to_owned(),
        Errno::EINVAL => "a blackhole route, or a source that is none (martian)".to_owned(),
        known => known.desc().to_lowercase(),
    }
}
