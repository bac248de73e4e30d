//! Where the agent answers those who ask after it: health checks and metrics.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The port of the health server.
pub const HEALTHZ_PORT: u16 = 10_256;
/// The port of the metrics server.
pub const METRICS_PORT: u16 = 10_249;
/// As many as a node has pods by default, and some.
const METRICS_OBJECTS_MAX: u32 = 128;
/// `iptables.syncPeriod`'s default.
pub const SYNC_PERIOD: Duration = Duration::from_secs(30);

/// The settings of an agent's servers. The default is kube-proxy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// Where `/healthz` and `/livez` answer; nowhere if none.
    pub healthz_bind_address: Option<SocketAddr>,
    /// Where `/metrics` answers; nowhere if none.
    pub metrics_bind_address: Option<SocketAddr>,
    /// Whether the agent ends if it cannot listen at one of them; else it tries again for ever.
    pub bind_address_hard_fail: bool,
    /// Half of the time that a change may wait before the agent counts as unhealthy.
    pub sync_period: Duration,
    /// How many services, endpoints and devices each have metrics of their own.
    pub metrics_objects_max: u32,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            healthz_bind_address: Some((Ipv4Addr::UNSPECIFIED, HEALTHZ_PORT).into()),
            metrics_bind_address: Some((Ipv4Addr::LOCALHOST, METRICS_PORT).into()),
            bind_address_hard_fail: false,
            sync_period: SYNC_PERIOD,
            metrics_objects_max: METRICS_OBJECTS_MAX,
        }
    }
}
