//! netproxy's own flags. Each goes before the same field of `NetproxyConfiguration`.

use std::path::PathBuf;

use clap::Args;
use netproxy::config::OwnSettings;
use netproxy::datapath::{AttachMode, FlowsMax, MapSize, XdpMode};
use netproxy::model::Balancing;
use netproxy::settings::{Masquerade, SocketBalancing};
use netproxy::source::Source;

/// What kube-proxy has not.
#[derive(Args, Debug)]
#[command(next_help_heading = "netproxy")]
pub(super) struct OwnArgs {
    /// Where Services, EndpointSlices and the Node come from: `kubernetes` (an API server), or
    /// `manifests:DIR` (a directory of YAML or JSON files, followed while it changes) [default:
    /// kubernetes]
    #[arg(long, value_name = "SOURCE", env = "NETPROXY_SOURCE")]
    source: Option<Source>,

    /// Attach only to devices that match (`*` and `?`); may be repeated [default: every device
    /// that carries pods or the outside]
    #[arg(long = "device", value_name = "PATTERN")]
    devices: Vec<String>,

    /// Never attach to devices that match; may be repeated
    #[arg(long = "exclude-device", value_name = "PATTERN")]
    excluded_devices: Vec<String>,

    /// How programs are attached to devices [default: auto]
    #[arg(long, value_enum)]
    attach: Option<AttachMode>,

    /// Where packets between clients outside and endpoints elsewhere are sent on before the kernel has made anything of
    /// them [default: off]
    #[arg(long, value_enum, value_name = "MODE")]
    xdp: Option<XdpMode>,

    /// Create a map with this many entries, for example `FLOWS_V4=1048576`; may be repeated. What
    /// is in a map of another size goes on in the new one
    #[arg(long = "map-size", value_name = "MAP=ENTRIES")]
    map_sizes: Vec<MapSize>,

    /// The cgroup v2 directory of this node [default: the mount with all its processes below it]
    #[arg(long, value_name = "DIR", env = "NETPROXY_CGROUP")]
    cgroup: Option<PathBuf>,

    /// Which clients' addresses are hidden behind the node's although the answer would come back
    /// through it [default: needed, or all with --masquerade-all]
    #[arg(long, value_enum)]
    masquerade: Option<Masquerade>,

    /// How clients of node ports, load-balancer and external IPs are sent to endpoints, unless the Service has the
    /// annotation `netproxy.dev/balancing`: consistently means by every node alike [default: random]
    #[arg(long, value_enum)]
    external_balancing: Option<Balancing>,

    /// Which processes are sent to endpoints by their sockets, without any packet to a frontend;
    /// others are served packet by packet [default: all]
    #[arg(long, value_enum)]
    socket_balancing: Option<SocketBalancing>,

    /// End connected UDP sockets whose endpoint is gone; without it they are served packet by packet
    /// [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    terminate_udp: Option<bool>,

    /// End TCP connections whose endpoint is gone from its service, not merely draining [default:
    /// false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    terminate_tcp: Option<bool>,
    /// Let namespaces and pods opt out of balancing at the socket, by
    /// `netproxy.dev/socket-balancing: "off"` as a label or an annotation. Pods and Namespaces are
    /// watched for that
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    socket_opt_out: Option<bool>,

    /// How many flows of each family there is room for [default: one for every 128 KiB of the machine's
    /// memory, and 131072 at least]
    #[arg(long, value_name = "FLOWS")]
    flows_max: Option<FlowsMax>,

    /// How many services, endpoints and devices each have metrics of their own; the others share one
    /// called `other` [default: 128]
    #[arg(long, value_name = "OBJECTS")]
    metrics_objects_max: Option<u32>,
}

impl OwnArgs {
    /// These where they were given, else what the file says.
    pub(super) fn over(self, file: OwnSettings) -> OwnSettings {
        fn list<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
            if flags.is_empty() { file } else { flags }
        }
        let Self {
            source,
            devices,
            excluded_devices,
            attach,
            xdp,
            map_sizes,
            cgroup,
            masquerade,
            external_balancing,
            socket_balancing,
            terminate_udp,
            terminate_tcp,
            socket_opt_out,
            flows_max,
            metrics_objects_max,
        } = self;
        OwnSettings {
            source: source.or(file.source),
            server: file.server,
            devices: list(devices, file.devices),
            excluded_devices: list(excluded_devices, file.excluded_devices),
            attach: attach.or(file.attach),
            xdp: xdp.or(file.xdp),
            map_sizes: list(map_sizes, file.map_sizes),
            cgroup: cgroup.or(file.cgroup),
            masquerade: masquerade.or(file.masquerade),
            external_balancing: external_balancing.or(file.external_balancing),
            socket_balancing: socket_balancing.or(file.socket_balancing),
            terminate_udp: terminate_udp.or(file.terminate_udp),
            terminate_tcp: terminate_tcp.or(file.terminate_tcp),
            socket_opt_out: socket_opt_out.or(file.socket_opt_out),
            flows_max: flows_max.or(file.flows_max),
            metrics_objects_max: metrics_objects_max.or(file.metrics_objects_max),
        }
    }
}
