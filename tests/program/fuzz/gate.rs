//! A program at a hook of a device, and who is behind that device.

use std::fmt;
use std::net::IpAddr;

use crate::world::{Direction, Flavour, Hook};

/// Where packets are handed in.
pub(super) struct Gate {
    pub(super) device: &'static str,
    pub(super) is_ingress: bool,
    pub(super) has_link_layer: bool,
    pub(super) ifindex: u32,
    /// Which pod is behind it.
    pub(super) pod: Option<u8>,
}

impl Gate {
    /// Where `hook` is.
    pub(super) fn at(device: &'static str, direction: Direction, hook: &Hook) -> Self {
        Self {
            device,
            is_ingress: direction == Direction::Ingress,
            has_link_layer: hook.has_link_layer(),
            ifindex: hook.ifindex(),
            pod: device
                .strip_prefix("pod")
                .map(|number| number.parse().unwrap()),
        }
    }

    /// The program's name.
    pub(super) fn program(&self) -> &'static str {
        match (self.is_ingress, self.has_link_layer) {
            (true, true) => "tc_ingress",
            (true, false) => "tc_ingress_l3",
            (false, true) => "tc_egress",
            (false, false) => "tc_egress_l3",
        }
    }

    /// Whether it leads outside the node.
    pub(super) fn is_outside(&self) -> bool {
        self.pod.is_none()
    }

    /// Whether its device is a port of the bridge.
    pub(super) fn is_bridged(&self) -> bool {
        matches!(self.pod, Some(3 | 4))
    }

    /// Whether the address is that of the pod behind it, or in the bridge's network; link-local ones are of
    /// this device alone.
    pub(super) fn is_of_pod(&self, address: IpAddr) -> bool {
        let Some(number) = self.pod else {
            return false;
        };
        let is_on_link = match address {
            IpAddr::V4(v4) => self.is_bridged() && v4.octets()[..3] == [10, 244, 3],
            IpAddr::V6(v6) if v6.is_unicast_link_local() => true,
            IpAddr::V6(v6) => self.is_bridged() && v6.segments()[..4] == [0xfd00, 0x244, 3, 0],
        };
        let is_pod = |flavour: &Flavour| !self.is_bridged() && flavour.local_pod(number) == address;
        is_on_link || Flavour::ALL.iter().any(is_pod)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.is_ingress { "ingress" } else { "egress" };
        write!(f, "{} at {direction} of {}", self.program(), self.device)
    }
}
