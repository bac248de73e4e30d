//! How much services carry (`TRAFFIC`, per CPU, by service id).

use bytemuck::{Pod, Zeroable};

/// Value of `TRAFFIC`: what one CPU has seen of a service port since its id was given to it. Under id zero, which
/// is no service's, stands what is of ids beyond the map's end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Traffic {
    /// Flows that packets have opened.
    pub flows: u64,
    /// Sockets that were sent straight to an endpoint: connections, and of unconnected ones those frontends that
    /// were new to them. Their packets are nobody's here.
    pub sockets: u64,
    /// What went to endpoints.
    pub to_endpoints: Volume,
    /// What they answered.
    pub to_clients: Volume,
}

/// Packets of flows that were translated and not dropped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Volume {
    /// As many as there are on the wire: of those that a device cuts up later, the segments.
    pub packets: u64,
    /// From the IP header on; of those that a device cuts up later, with the headers of one.
    pub bytes: u64,
}

impl Traffic {
    /// What has come since it was `before`. A count that is less than it was has begun anew, as its id was given to
    /// another service.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            flows: since(self.flows, before.flows),
            sockets: since(self.sockets, before.sockets),
            to_endpoints: self.to_endpoints.since(before.to_endpoints),
            to_clients: self.to_clients.since(before.to_clients),
        }
    }
}

impl Volume {
    fn since(self, before: Self) -> Self {
        Self {
            packets: since(self.packets, before.packets),
            bytes: since(self.bytes, before.bytes),
        }
    }
}

fn since(now: u64, before: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

const _: () = assert!(size_of::<Traffic>() == 48);

#[cfg(feature = "user")]
// SAFETY: `bytemuck::Pod` is derived, hence any bit pattern is valid and there is no padding.
unsafe impl aya::Pod for Traffic {}
