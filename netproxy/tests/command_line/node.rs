//! A node for one test: namespaces, a BPF file system, a device, and the binary run on it.

use std::path::Path;
use std::process::{Command, Output};

use aya::maps::{HashMap, Map, MapData};
use netproxy::datapath::{AttachMode, Datapath, DatapathOptions, Pins, SourcePorts, XdpMode};
use netproxy::node::{Attachment, BridgeNetfilter};
use netproxy_common::protocol::TCP;
use netproxy_common::{
    Be16, Counter, DeviceKind, DropKey, Flow, FlowKey, FlowKind, FlowState, Ipv4, LocalClients,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

/// A node with nothing on it but a loopback device, and a BPF file system.
///
/// The test's thread enters new namespaces, so nothing outlives it.
pub(crate) struct Node {
    bpffs: BpfFs,
}

/// A BPF file system in a directory of its own.
pub(crate) struct BpfFs(TempDir);

impl Node {
    pub(crate) fn new() -> Self {
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
        Self {
            bpffs: BpfFs::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.bpffs.path()
    }

    pub(crate) fn datapath(&self) -> Datapath {
        datapath(self.path())
    }

    /// Runs `netproxy` with these words and the node's BPF file system.
    pub(crate) fn netproxy(&self, words: &str) -> Output {
        command(self.path(), words).output().unwrap()
    }

    /// What it prints; it must succeed and have nothing to say on stderr.
    pub(crate) fn prints(&self, words: &str) -> String {
        let output = self.netproxy(words);
        let errors = text(&output.stderr);
        assert!(output.status.success(), "netproxy {words}: {errors}");
        assert_eq!(errors, "", "netproxy {words}");
        text(&output.stdout)
    }

    pub(crate) fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.prints(&format!("{words} -o json"))).unwrap()
    }

    /// The one line on stderr with which it fails.
    pub(crate) fn fails(&self, words: &str) -> String {
        let output = self.netproxy(words);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "netproxy {words}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        errors
    }
}

impl BpfFs {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        mount(
            Some("bpf"),
            directory.path(),
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
        Self(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        // Or the directory below it could not be removed.
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}

pub(crate) fn datapath(bpffs: &Path) -> Datapath {
    let options = DatapathOptions {
        pins: Pins::new(bpffs),
        attach: AttachMode::Auto,
        xdp: XdpMode::Off,
        ports: SourcePorts::default(),
        sockets: None,
        map_sizes: Vec::new(),
    };
    Datapath::open(&options, LocalClients::Device).unwrap()
}

pub(crate) fn command(bpffs: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netproxy"));
    command
        .args(words.split_whitespace())
        .env("NETPROXY_BPFFS", bpffs)
        .env_remove("NETPROXY_LOG")
        .env_remove("RUST_LOG");
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Enters the forward half of an established whole flow of `service`.
pub(crate) fn enter_flow(node: &Node, service: u32, client: [u8; 4]) {
    let pin = Pins::new(node.path()).map("FLOWS_V4");
    let map = Map::HashMap(MapData::from_pin(pin).unwrap());
    let mut flows: HashMap<_, FlowKey<Ipv4>, Flow<Ipv4>> = map.try_into().unwrap();
    let key = FlowKey {
        source: Ipv4::new(client),
        destination: Ipv4::new([10, 96, 0, 9]),
        source_port: Be16::new(40_000),
        destination_port: Be16::new(80),
        protocol: TCP,
        pad: [0; 3],
    };
    let flow = Flow {
        source: Ipv4::new([192, 0, 2, 1]),
        destination: Ipv4::new([10, 1, 1, 2]),
        source_port: Be16::new(10_240),
        destination_port: Be16::new(8080),
        kind: FlowKind::Whole as u8,
        flags: 0,
        state: FlowState::Established as u8,
        pad: [0; _],
        service,
        generation: 1,
        deadline_s: u32::MAX,
        client_ifindex: 1,
    };
    flows.insert(key, flow, 0).unwrap();
}

/// Enters a count of drops.
pub(crate) fn enter_drops(node: &Node, service: u32, reason: Counter, count: u64) {
    let pin = Pins::new(node.path()).map("DROPS");
    let map = Map::LruHashMap(MapData::from_pin(pin).unwrap());
    let mut drops: HashMap<_, DropKey, u64> = map.try_into().unwrap();
    let key = DropKey {
        service,
        reason: reason as u32,
    };
    drops.insert(key, count, 0).unwrap();
}

/// Makes a device, the near end of a cable; yields how programs are attached to it.
pub(crate) fn uplink() -> Attachment {
    let made = Command::new("ip")
        .args("link add uplink type veth peer name far".split(' '))
        .output()
        .expect("ip(8); install iproute2");
    assert!(made.status.success(), "{}", text(&made.stderr));
    Attachment {
        ifindex: if_nametoindex("uplink").unwrap(),
        name: "uplink".to_owned(),
        kind: DeviceKind::Outside,
        has_link_layer: true,
        is_nic: false,
        mac: [2; 6],
        master: 0,
        is_local_pods: false,
        bridge_netfilter: BridgeNetfilter::default(),
    }
}
