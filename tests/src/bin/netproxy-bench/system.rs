//! What is measured.

use std::fmt;

use clap::ValueEnum;
use netproxy_lab::control_plane::Mode;

/// A way in which requests reach endpoints. The names are those of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum System {
    /// No service at all: the endpoint's own address.
    Direct,
    /// netproxy as it is by default: balanced at the socket, and packet by packet.
    NetproxySocket,
    /// netproxy packet by packet only, by tc programs.
    NetproxyTc,
    /// netproxy with XDP programs for what comes from outside.
    NetproxyXdp,
    /// kube-proxy in its nftables mode.
    KubeProxyNftables,
    /// kube-proxy in its iptables mode.
    KubeProxyIptables,
}

/// Whose programs a system is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// netproxy's agent.
    Netproxy {
        /// Whether it balances at the socket, too.
        at_sockets: bool,
        /// Whether uplinks have its XDP program.
        has_xdp: bool,
    },
    /// kube-proxy.
    KubeProxy(Mode),
}

impl System {
    /// Those that watch an API server.
    pub(crate) const PROXIES: [Self; 4] = [
        Self::NetproxySocket,
        Self::NetproxyTc,
        Self::KubeProxyNftables,
        Self::KubeProxyIptables,
    ];

    /// All ways to a cluster IP.
    pub(crate) const TO_CLUSTER_IPS: [Self; 5] = [
        Self::Direct,
        Self::NetproxySocket,
        Self::NetproxyTc,
        Self::KubeProxyNftables,
        Self::KubeProxyIptables,
    ];

    /// All ways to a node port from outside, where there is no socket to balance at.
    pub(crate) const TO_NODE_PORTS: [Self; 5] = [
        Self::Direct,
        Self::NetproxyTc,
        Self::NetproxyXdp,
        Self::KubeProxyNftables,
        Self::KubeProxyIptables,
    ];

    /// Its name in results; that of its node in the lab, too.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::NetproxySocket => "netproxy-socket",
            Self::NetproxyTc => "netproxy-tc",
            Self::NetproxyXdp => "netproxy-xdp",
            Self::KubeProxyNftables => "kube-proxy-nftables",
            Self::KubeProxyIptables => "kube-proxy-iptables",
        }
    }

    /// The proxy that runs on its node; None: there is none.
    pub(crate) fn proxy(self) -> Option<Proxy> {
        let netproxy = |at_sockets, has_xdp| {
            Some(Proxy::Netproxy {
                at_sockets,
                has_xdp,
            })
        };
        match self {
            Self::Direct => None,
            Self::NetproxySocket => netproxy(true, false),
            Self::NetproxyTc => netproxy(false, false),
            Self::NetproxyXdp => netproxy(false, true),
            Self::KubeProxyNftables => Some(Proxy::KubeProxy(Mode::Nftables)),
            Self::KubeProxyIptables => Some(Proxy::KubeProxy(Mode::Iptables)),
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
