//! Every field of `KubeProxyConfiguration`, and netproxy's own.

use super::field::{Field, Kind, Role};

mod kube_proxy;

pub use self::kube_proxy::KUBE_PROXY_FIELDS;

/// netproxy's own document. Its flags are those of `netproxy run`.
pub const OWN_FIELDS: &[Field] = &[
    own("source", Kind::Text, "as `--source`"),
    own("server", Kind::Text, "as `--server`"),
    own("devices", Kind::List, "as `--device`"),
    own("excludedDevices", Kind::List, "as `--exclude-device`"),
    own(
        "attach",
        Kind::Text,
        "as `--attach`: `auto`, `tcx` or `clsact`",
    ),
    own(
        "xdp",
        Kind::Text,
        "as `--xdp`: `off`, `auto`, `native` or `generic`",
    ),
    own("mapSizes", Kind::Sizes, "as `--map-size`: entries by map"),
    own("cgroup", Kind::Text, "as `--cgroup`"),
    own(
        "masquerade",
        Kind::Text,
        "as `--masquerade`: `needed`, `external` or `all`",
    ),
    own(
        "externalBalancing",
        Kind::Text,
        "as `--external-balancing`: `random` or `consistent`",
    ),
    own(
        "socketBalancing",
        Kind::Text,
        "as `--socket-balancing`: `all`, `host-only` or `off`",
    ),
    own("terminateUdp", Kind::Bool, "as `--terminate-udp`"),
    own("terminateTcp", Kind::Bool, "as `--terminate-tcp`"),
    own("socketOptOut", Kind::Bool, "as `--socket-opt-out`"),
    own("flowsMax", Kind::Integer, "as `--flows-max`"),
    own(
        "metricsObjectsMax",
        Kind::Integer,
        "as `--metrics-objects-max`",
    ),
];

const fn own(path: &'static str, kind: Kind, help: &'static str) -> Field {
    Field {
        path,
        flag: None,
        kind,
        role: Role::Acts,
        help,
    }
}
