//! Whether netfilter sees the packets that bridges switch (the kernel's module `br_netfilter`).

use std::fs;
use std::path::Path;

use netlink_packet_route::link::{InfoBridge, InfoData};

/// Where the module's settings are, which are there only while it is loaded.
const SETTINGS: &str = "/proc/sys/net/bridge";

/// Of which family netfilter sees what a bridge switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeNetfilter {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl BridgeNetfilter {
    /// What the calling thread's network namespace asks for on all bridges; None: the module is not
    /// loaded, and what a bridge asks for by itself has no effect. A setting that cannot be read
    /// counts as the module's default, on.
    pub(super) fn of_all_bridges() -> Option<Self> {
        let directory = Path::new(SETTINGS);
        directory.exists().then(|| {
            let is_on = |name| {
                let value = fs::read_to_string(directory.join(name));
                value.map_or(true, |value| value.trim() != "0")
            };
            Self {
                v4: is_on("bridge-nf-call-iptables"),
                v6: is_on("bridge-nf-call-ip6tables"),
            }
        })
    }

    /// What a bridge asks for by itself.
    pub(super) fn of_bridge(data: &InfoData) -> Self {
        let mut own = Self::default();
        if let InfoData::Bridge(attributes) = data {
            for attribute in attributes {
                match attribute {
                    InfoBridge::NfCallIpTables(is_on) => own.v4 = *is_on,
                    InfoBridge::NfCallIp6Tables(is_on) => own.v6 = *is_on,
                    _ => {}
                }
            }
        }
        own
    }

    /// What either asks for: one is enough (`br_nf_pre_routing` in `net/bridge/br_netfilter_hooks.c`).
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            v4: self.v4 || other.v4,
            v6: self.v6 || other.v6,
        }
    }
}
