//! The real binary on a real datapath, in a network and mount namespace of its own. Needs root.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use aya::maps::{HashMap, Map, MapData};
use netproxy::datapath::{AttachMode, Datapath, DatapathOptions, Pins, SourcePorts};
use netproxy::model::{
    Endpoint, EndpointSlice, Family, ObjectName, Protocol, Service, ServicePort, SlicePort,
    TrafficPolicy,
};
use netproxy::node::Attachment;
use netproxy::plan::{NodeView, WantedPort, plan_service};
use netproxy_common::{Be16, DeviceKind, Flow, FlowKey, FlowKind, FlowState, Ipv4, protocol::TCP};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A node with nothing on it but a loopback device, and a BPF file system.
///
/// The test's thread enters new namespaces, so nothing outlives it.
struct Node {
    bpffs: TempDir,
}

impl Node {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .expect("a new namespace; run the tests as root (sudo -E)");
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )
        .unwrap();
        Self { bpffs: bpffs() }
    }

    fn path(&self) -> &Path {
        self.bpffs.path()
    }

    fn datapath(&self) -> Datapath {
        datapath(self.path())
    }

    /// Runs `netproxy` with these words and the node's BPF file system.
    fn netproxy(&self, words: &str) -> Output {
        command(self.path(), words).output().unwrap()
    }

    /// What it prints; it must succeed and have nothing to say on stderr.
    fn prints(&self, words: &str) -> String {
        let output = self.netproxy(words);
        let errors = text(&output.stderr);
        assert!(output.status.success(), "netproxy {words}: {errors}");
        assert_eq!(errors, "", "netproxy {words}");
        text(&output.stdout)
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.prints(&format!("{words} -o json"))).unwrap()
    }

    /// The one line on stderr with which it fails.
    fn fails(&self, words: &str) -> String {
        let output = self.netproxy(words);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "netproxy {words}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        errors
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = umount2(self.bpffs.path(), MntFlags::MNT_DETACH);
    }
}

fn bpffs() -> TempDir {
    let directory = TempDir::new().unwrap();
    mount(
        Some("bpf"),
        directory.path(),
        Some("bpf"),
        MsFlags::empty(),
        None::<&str>,
    )
    .unwrap();
    directory
}

fn datapath(bpffs: &Path) -> Datapath {
    Datapath::open(&DatapathOptions {
        pins: Pins::new(bpffs),
        attach: AttachMode::Auto,
        ports: SourcePorts::default(),
    })
    .unwrap()
}

fn command(bpffs: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netproxy"));
    command
        .args(words.split_whitespace())
        .env("NETPROXY_BPFFS", bpffs)
        .env_remove("NETPROXY_LOG")
        .env_remove("RUST_LOG");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// `shop/cart`: dual stack, two ports, external policy Local, one local and two remote endpoints
/// of which one terminates.
fn cart() -> (ObjectName, Vec<WantedPort>) {
    let name = ObjectName::new("shop", "cart");
    let service = Service {
        name: name.clone(),
        cluster_ips: vec![ip("10.96.0.9"), ip("fd00:96::9")],
        external_ips: vec![ip("203.0.113.1")],
        load_balancer_vips: vec![ip("198.51.100.1")],
        source_ranges: Vec::new(),
        ports: vec![
            port("http", Protocol::Tcp, 80, Some(30080)),
            port("quic", Protocol::Udp, 443, None),
        ],
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Local,
        affinity_s: Some(10_800),
        health_check_node_port: None,
    };
    let slices = [
        slice(
            &name,
            Family::V4,
            vec![
                endpoint("10.1.0.2", "here", true),
                endpoint("10.1.1.2", "there", true),
                endpoint("10.1.1.3", "there", false),
            ],
        ),
        slice(
            &name,
            Family::V6,
            vec![endpoint("fd00:1::2", "there", true)],
        ),
    ];
    let slices: Vec<_> = slices.iter().collect();
    let wanted = plan_service(&service, &slices, &this_node());
    (name, wanted)
}

/// `shop/basket`: one unnamed port, no endpoint.
fn basket() -> (ObjectName, Vec<WantedPort>) {
    let name = ObjectName::new("shop", "basket");
    let service = Service {
        name: name.clone(),
        cluster_ips: vec![ip("10.96.0.10")],
        external_ips: Vec::new(),
        load_balancer_vips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![port("", Protocol::Sctp, 7, None)],
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        affinity_s: None,
        health_check_node_port: None,
    };
    let wanted = plan_service(&service, &[], &this_node());
    (name, wanted)
}

fn this_node() -> NodeView {
    NodeView {
        name: "here".into(),
        zone: None,
    }
}

fn port(name: &str, protocol: Protocol, port: u16, node_port: Option<u16>) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol,
        port,
        node_port,
    }
}

fn slice(service: &ObjectName, family: Family, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let port = |name: &str, protocol, port| SlicePort {
        name: name.into(),
        protocol,
        port,
    };
    EndpointSlice {
        name: ObjectName::new("shop", format!("cart-{family}")),
        service: service.clone(),
        family,
        ports: vec![
            port("http", Protocol::Tcp, 8080),
            port("quic", Protocol::Udp, 8443),
        ],
        endpoints,
        triggered_unix_ns: None,
    }
}

fn endpoint(address: &str, node: &str, ready: bool) -> Endpoint {
    Endpoint {
        address: ip(address),
        node: Some(node.into()),
        ready,
        serving: true,
        terminating: !ready,
        hints: None,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Enters the forward half of an established whole flow of `service`.
fn enter_flow(node: &Node, service: u32, client: [u8; 4]) {
    let pin = Pins::new(node.path()).map("FLOWS_V4");
    let map = Map::HashMap(MapData::from_pin(pin).unwrap());
    let mut flows: HashMap<_, FlowKey<Ipv4>, Flow<Ipv4>> = map.try_into().unwrap();
    let key = FlowKey {
        source: Ipv4(client),
        destination: Ipv4([10, 96, 0, 9]),
        source_port: Be16::new(40_000),
        destination_port: Be16::new(80),
        protocol: TCP,
        pad: [0; 3],
    };
    let flow = Flow {
        source: Ipv4([192, 0, 2, 1]),
        destination: Ipv4([10, 1, 1, 2]),
        source_port: Be16::new(10_240),
        destination_port: Be16::new(8080),
        kind: FlowKind::Whole as u8,
        flags: 0,
        state: FlowState::Established as u8,
        pad: 0,
        service,
        generation: 1,
        deadline_s: u32::MAX,
        client_ifindex: 1,
    };
    flows.insert(key, flow, 0).unwrap();
}

/// Makes a device and attaches `datapath` to it.
fn attach(datapath: &mut Datapath, name: &str) {
    let made = Command::new("ip")
        .args(["link", "add", name, "type", "dummy"])
        .stderr(Stdio::null())
        .status()
        .expect("ip(8); install iproute2");
    let ifindex = if_nametoindex(name).unwrap_or_else(|_| panic!("{name}: {made}"));
    datapath
        .set_devices(&[Attachment {
            ifindex,
            name: name.to_owned(),
            kind: DeviceKind::Outside,
            has_link_layer: true,
            mac: [2; 6],
            master: 0,
            source_v4: Ipv4Addr::UNSPECIFIED,
            source_v6: Ipv6Addr::UNSPECIFIED,
        }])
        .unwrap();
}

#[test]
fn services_are_listed_by_name_after_the_agent_is_gone() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart(), basket()]).unwrap();
    drop(datapath);

    let table = node.prints("services");
    let services = node.json("services");

    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert!(lines[1].starts_with("shop/basket "), "{table}");
    assert!(lines[1].ends_with("no endpoint: rejected"), "{table}");
    assert!(
        lines[2].contains(
            "ClusterIP 10.96.0.9:80, NodePort 30080, LoadBalancer 198.51.100.1:80, \
             ExternalIP 203.0.113.1:80"
        ),
        "{table}"
    );
    assert!(lines[2].contains("2/3 (1 local)"), "{table}");
    assert!(lines[2].ends_with("external Local, affinity 3h"), "{table}");
    assert_eq!(services.as_array().unwrap().len(), 5);
    assert_eq!(services[1]["endpoints"]["external_local"], 1);
    assert_eq!(
        services[1]["frontends"][1],
        json!({"kind": "NodePort", "address": null, "port": 30080})
    );
}

#[test]
fn endpoints_tell_their_state_and_who_may_be_sent_there() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart(), basket()]).unwrap();

    let told: Vec<_> = node
        .prints("endpoints shop/cart:http")
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();

    assert_eq!(
        told,
        [
            "shop/cart:http TCP 10.1.0.2:8080 local ready internal, external, external-local",
            "shop/cart:http TCP 10.1.1.2:8080 remote ready internal, external",
            "shop/cart:http TCP 10.1.1.3:8080 remote terminating none",
            "shop/cart:http TCP [fd00:1::2]:8080 remote ready internal, external",
        ]
    );
    assert_eq!(node.prints("endpoints basket"), "no endpoints\n");
}

#[test]
fn a_flow_is_listed_with_the_name_of_its_service() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart()]).unwrap();
    let id = node.json("services cart:http")[0]["id"].as_u64().unwrap();
    enter_flow(&node, u32::try_from(id).unwrap(), [192, 0, 2, 7]);
    enter_flow(&node, 9999, [192, 0, 2, 8]);

    let named = node.prints("flows --service shop/cart");
    let all = node.json("flows");

    assert_eq!(named.lines().count(), 2, "{named}");
    for word in ["192.0.2.7:40000", "shop/cart:http", "192.0.2.1:10240"] {
        assert!(named.contains(word), "{named}");
    }
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(all[1]["name"], Value::Null);
    assert_eq!(node.prints("flows --protocol udp"), "no flows\n");
}

#[test]
fn counters_are_listed_by_name() {
    let node = Node::new();
    let _datapath = node.datapath();

    let counters = node.json("counters --drops");

    let counters = counters.as_array().unwrap();
    assert!(counters.contains(&json!({"name": "no_endpoint", "count": 0, "is_drop": true})));
    assert!(counters.iter().all(|counter| counter["is_drop"] == true));
}

#[test]
fn check_names_devices_and_foreign_programs_that_come_before_ours() {
    let node = Node::new();
    let mut ours = node.datapath();
    attach(&mut ours, "uplink");
    // Another proxy of our own kind: it, too, wants to be first at ingress and last at egress.
    let foreign_bpffs = bpffs();
    let mut foreign = datapath(foreign_bpffs.path());
    attach(&mut foreign, "uplink");

    let findings: Vec<Value> =
        serde_json::from_slice(&node.netproxy("check -o json").stdout).unwrap();

    let about = |start: &str| {
        findings
            .iter()
            .find(|finding| finding["found"].as_str().unwrap().starts_with(start))
            .unwrap_or_else(|| panic!("{start:?} is not in {findings:?}"))["level"]
            .clone()
    };
    assert_eq!(about("attached: uplink (outside)"), "ok");
    assert_eq!(about("uplink: the program tc_ingress"), "warning");
    assert_eq!(about("uplink: the program tc_egress"), "warning");
    umount2(foreign_bpffs.path(), MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn check_exits_with_one_if_there_is_a_problem() {
    let node = Node::new();
    let nowhere = PathBuf::from("/nowhere");

    let output = command(&nowhere, "check").output().unwrap();
    let problems = node.netproxy("check -o json");

    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(table.contains("PROBLEM"), "{table}");
    assert!(table.contains("-> mkdir -p /nowhere && mount"), "{table}");
    let findings: Vec<Value> = serde_json::from_slice(&problems.stdout).unwrap();
    let has_problem = findings.iter().any(|finding| finding["level"] == "problem");
    assert_eq!(problems.status.code(), Some(i32::from(has_problem)));
}

#[test]
fn cleanup_removes_everything_once() {
    let node = Node::new();
    let mut datapath = node.datapath();
    attach(&mut datapath, "uplink");
    drop(datapath);

    let first = node.prints("cleanup");
    let second = node.prints("cleanup");

    assert!(first.contains(" maps and 2 links"), "{first}");
    assert!(second.starts_with("nothing to remove"), "{second}");
    assert!(!node.path().join("netproxy").exists());
    let (_, programs) =
        aya::programs::SchedClassifier::query_tcx("uplink", aya::programs::TcAttachType::Ingress)
            .unwrap();
    assert!(programs.is_empty());
}

#[test]
fn what_is_absent_is_an_error_with_a_remedy() {
    let node = Node::new();

    for words in ["services", "endpoints", "flows", "counters"] {
        let error = node.fails(words);

        assert!(
            error.starts_with("error: no datapath is pinned at"),
            "{error}"
        );
        assert!(error.contains("--bpffs"), "{error}");
    }
    let _datapath = node.datapath();
    let error = node.fails("endpoints shop/nothing");
    assert!(
        error.starts_with("error: service shop/nothing: "),
        "{error}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart()]).unwrap();

    for words in ["services", "services -o json", "endpoints", "counters"] {
        let mut child = command(node.path(), words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before anything can have been written to it in full.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();

        assert_eq!(text(&output.stderr), "", "netproxy {words}");
        assert!(output.status.success(), "netproxy {words}");
    }
}

#[test]
fn wrong_usage_exits_with_two() {
    let output = command(Path::new("/nowhere"), "flows --client nobody")
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(2));
}
