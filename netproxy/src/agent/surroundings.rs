//! What the node's devices and addresses mean for the datapath.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tracing::{error, info, warn};

use super::Agent;
use super::warnings::Cause;
use crate::datapath::{Datapath, DatapathError};
use crate::node::{self, DevicePatterns, NodeNetwork};
use crate::plan::{node_ips, node_port_addresses};
use crate::settings::LocalPods;

/// Has the devices served that are to be; tells whether the datapath knows the sources of packets, and all devices.
pub(super) fn serve_devices(
    datapath: &mut Datapath,
    network: &NodeNetwork,
    patterns: &DevicePatterns,
    node_ips: &[IpAddr],
    local_pods: &LocalPods,
) -> [Result<(), DatapathError>; 2] {
    // What the devices' programs read, before these are there.
    let sources = datapath.set_sources(&node::sources(network, node_ips));
    let devices = node::attachments(network, patterns, node_ips, local_pods);
    [sources, datapath.set_devices(&devices)]
}

impl Agent {
    /// Devices and addresses. What fails is logged and tried again with the next change or
    /// comparison.
    pub(super) fn look_at_network(&mut self) {
        let node_ips = node_ips(&self.settings.node_ips, self.store.node());
        let [sources, outcome] = serve_devices(
            &mut self.datapath,
            &self.network,
            &self.patterns,
            &node_ips,
            &self.settings.local_pods,
        );
        if let Err(error) = sources {
            error!(%error, "packets whose source is translated may be dropped");
        }
        if let Err(error) = &outcome {
            // A device may vanish between its listing and here; then it is listed as gone next.
            warn!(%error, "a device is not served");
            let note = format!("services cannot be reached by it: {error}");
            self.warnings.tell(Cause::DeviceNotServed, note);
        }
        self.health.devices(outcome.err().as_ref());
        let means = self.datapath.attach_means();
        let states = self.datapath.device_states();
        let metrics = &mut self.metrics.attachments;
        metrics.devices(states, means);
        metrics.programs(self.datapath.program_loads());
        // What an earlier process knew stays in force until the Node is known.
        if self.store.is_complete() {
            self.set_addresses(&node_ips);
            self.set_pod_cidrs();
        }
    }

    /// What cluster IPs are taken from. Addresses of services are to be in force before, or they
    /// would be dropped like those that are nobody's.
    pub(super) fn set_service_cidrs(&mut self) {
        let networks: Vec<_> = self.store.service_cidrs().collect();
        if let Err(error) = self.datapath.set_service_cidrs(&networks) {
            error!(%error, "packets to unallocated cluster IPs are left alone");
        }
    }

    /// Which pods are balanced at the socket, where they may opt out. Pods of which nothing is known
    /// yet may have opted out; but before everything is listed that is no reason to end what was.
    pub(super) fn set_socket_clients(&mut self) {
        let Some(cgroups) = self.cgroups.as_mut().filter(|_| self.store.is_complete()) else {
            return;
        };
        let cgroups = cgroups.borrow_and_update().clone();
        let clients = self.store.socket_clients(&cgroups);
        if let Err(error) = self.datapath.set_socket_clients(&clients) {
            error!(%error, "pods may be balanced at the socket, or not, against their wish");
        }
    }

    fn set_pod_cidrs(&mut self) {
        let node = self.store.node();
        let networks = match &self.settings.local_pods {
            LocalPods::Networks(networks) => &networks[..],
            LocalPods::NodeCidrs => node.map_or(&[][..], |node| &node.pod_cidrs),
            LocalPods::Device
            | LocalPods::Bridge(_)
            | LocalPods::NamePrefix(_)
            | LocalPods::Nobody => &[],
        };
        if let Err(error) = self.datapath.set_pod_cidrs(networks) {
            error!(%error, "pods of this node may be taken for clients from outside");
        }
    }

    fn set_addresses(&mut self, node_ips: &[IpAddr]) {
        let own = self.network.node_addresses();
        let selected = node_port_addresses(&self.settings.node_port_addresses, node_ips, &own);
        let outcome = self.datapath.set_node_addresses(&own, &selected);
        if let Err(error) = &outcome {
            error!(%error, "NodePorts may not answer on every address");
        }
        self.health
            .node_port_addresses(&selected, outcome.err().as_ref());
        self.report_node_ports(selected);
    }

    fn report_node_ports(&mut self, selected: BTreeSet<IpAddr>) {
        if self.node_ports.as_ref() == Some(&selected) {
            return;
        }
        if selected.is_empty() {
            let note =
                "NodePorts answer on no address of this node: none is among nodePortAddresses";
            warn!(note);
            self.warnings
                .tell(Cause::NoNodePortAddress, note.to_owned());
        } else {
            info!(addresses = ?selected, "NodePorts answer");
        }
        self.node_ports = Some(selected);
    }
}
