//! Commands worth trying in a lab that stays up.

use netproxy_lab::Place as _;

use crate::stage::{Objects, Stage, WEB_CLUSTER_IPS};

/// Five commands, each with what it shows.
pub(crate) fn show(stage: &Stage<'_>) -> String {
    let lab = stage.lab();
    let namespace = |place: &str| {
        lab.namespace_of(place)
            .map_or_else(|_| place.to_owned(), |path| path.display().to_string())
    };
    let bpffs = lab.node("alpha").map_or_else(
        |_| "/sys/fs/bpf".to_owned(),
        |node| node.bpffs().display().to_string(),
    );
    let netproxy = std::env::current_exe().map_or_else(
        |_| "netproxy".to_owned(),
        |demo| demo.with_file_name("netproxy").display().to_string(),
    );
    let alpha = lab
        .node("alpha")
        .map_or_else(|_| String::new(), |node| node.ipv4().to_string());
    let shell = namespace("shell");
    let edit = match stage.objects() {
        Objects::Directory(directory) => format!(
            "sed -i '/10.244.1/d' {}/web.yaml\n      now only web-3 answers; the change is in force in a moment",
            directory.display()
        ),
        Objects::Server(server) => format!(
            "{} -n shop delete endpointslice web-ipv6\n      now nobody answers over IPv6; the change is in force in a moment",
            server.kubectl_command()
        ),
    };
    let web = WEB_CLUSTER_IPS[0];
    format!(
        "The lab stays up. Worth trying:\n\
         \n  1.  nsenter --net={shell} curl -s http://{web}/\n      a pod asks the service; again and again: another endpoint\
         \n  2.  nsenter --net={outside} curl -s http://{alpha}:30080/\n      the same from outside, through alpha's NodePort\
         \n  3.  {edit}\
         \n  4.  {netproxy} --bpffs {bpffs} flows\n      who talks to whom on alpha; also: services, endpoints, drops, check\
         \n  5.  bpftool map dump pinned {bpffs}/netproxy/v{schema}/FRONTENDS_V4\n      the maps themselves, with named fields\
         \n\nWhen you have seen enough: cargo xtask demo --down",
        outside = namespace("outside"),
        schema = netproxy_common::PINS_VERSION,
    )
}
