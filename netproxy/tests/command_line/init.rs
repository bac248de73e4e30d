//! `netproxy init` in namespaces of its own.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Node, command, text};

/// A process in a mount namespace of its own, which has nothing to do with this one.
struct Elsewhere(Child);

impl Elsewhere {
    fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c"])
            // Says that it is there, and waits until nobody holds its input any more.
            .arg("echo; read -r _")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare: apt-get install util-linux");
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut String::new()).unwrap();
        Self(child)
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/mnt", self.0.id())
    }

    fn mounts(&self) -> String {
        fs::read_to_string(format!("/proc/{}/mounts", self.0.id())).unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The outcome of the step about `subject`.
fn outcome<'a>(steps: &'a Value, subject: &str) -> &'a Value {
    let steps_about = |step: &&Value| step["subject"] == subject;
    let step = steps.as_array().unwrap().iter().find(steps_about);
    &step.unwrap_or_else(|| panic!("{subject}: {steps}"))["outcome"]
}

#[test]
fn a_node_gets_its_bpffs_and_forwards_and_is_left_alone_afterwards() {
    let _node = Node::new();
    let bpffs = TempDir::new().unwrap();
    let path = bpffs.path().join("deep/bpf");
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
    fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "0").unwrap();
    let init = |words: &str| -> Value {
        let output = command(&path, words).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };

    let first = init("init -o json");
    let ipv6 = fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding").unwrap();
    let second = init("init --ipv6-forwarding -o json");
    let check = command(&path, "check -o json").output().unwrap();

    assert_eq!(outcome(&first, "bpffs"), "done");
    assert_eq!(outcome(&first, "cgroup v2"), "kept");
    assert_eq!(outcome(&first, "IPv4 forwarding"), "done");
    assert_eq!(ipv6.trim(), "0", "nobody asked for it");
    assert_eq!(outcome(&second, "bpffs"), "kept");
    assert_eq!(outcome(&second, "IPv4 forwarding"), "kept");
    assert_eq!(outcome(&second, "IPv6 forwarding"), "done");
    let findings: Vec<Value> = serde_json::from_slice(&check.stdout).unwrap();
    for subject in ["bpffs", "IPv4 forwarding", "IPv6 forwarding"] {
        let is_ok = |finding: &Value| finding["subject"] == subject && finding["level"] == "ok";
        assert!(findings.iter().any(is_ok), "{subject}: {findings:#?}");
    }
    nix::mount::umount(&path).unwrap();
}

#[test]
fn a_cgroup_hierarchy_is_mounted_where_there_is_none() {
    let node = Node::new();
    // Hidden from here on, in this test's namespace only: so is what is mounted below them.
    let hidden = ["/sys/fs/cgroup", "/run"];
    for path in hidden {
        nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH).ok();
    }
    let private = nix::mount::MsFlags::empty();
    let tmpfs = Some("tmpfs");
    nix::mount::mount(tmpfs, "/run", tmpfs, private, None::<&str>).unwrap();
    let mounts = || fs::read_to_string("/proc/thread-self/mounts").unwrap();
    assert!(!mounts().contains(" cgroup2 "), "{}", mounts());

    let steps = node.json("init");

    assert_eq!(outcome(&steps, "cgroup v2"), "done");
    assert!(mounts().contains(" /run/netproxy/cgroup cgroup2 "));
    assert_eq!(outcome(&node.json("init"), "cgroup v2"), "kept");
}

#[test]
fn a_container_mounts_for_the_node_and_not_for_itself() {
    let elsewhere = Elsewhere::new();
    let bpffs = TempDir::new().unwrap();
    let path = bpffs.path().join("bpf");
    let words = format!("init --mount-namespace {}", elsewhere.namespace());

    let output = command(&path, &words).output().unwrap();

    assert!(output.status.success(), "{}", text(&output.stderr));
    let mounted = format!(" {} bpf ", path.display());
    assert!(elsewhere.mounts().contains(&mounted), "{output:?}");
    assert!(
        !fs::read_to_string("/proc/self/mounts")
            .unwrap()
            .contains(&mounted)
    );
}

#[test]
fn three_capabilities_are_enough_and_what_lacks_one_is_told_without_failing_the_start() {
    let elsewhere = Elsewhere::new();
    let bpffs = TempDir::new().unwrap();
    let init_with = |capabilities: &str| {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--bounding-set=-all{capabilities}"))
            .args(["--inh-caps=-all", "--no-new-privs"])
            .args([env!("CARGO_BIN_EXE_netproxy"), "init", "--bpffs"])
            .arg(bpffs.path())
            .args(["--mount-namespace", &elsewhere.namespace()]);
        let output = command
            .output()
            .expect("setpriv: apt-get install util-linux");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };

    for (granted, missing) in [
        (",+sys_admin,+sys_chroot", "CAP_SYS_PTRACE"),
        (",+sys_ptrace,+sys_chroot", "CAP_SYS_ADMIN"),
        (",+sys_ptrace,+sys_admin", "CAP_SYS_CHROOT"),
    ] {
        let told = init_with(granted);
        assert!(
            told.starts_with("FAILED") && told.contains(missing),
            "{told}"
        );
    }
    let told = init_with(",+sys_ptrace,+sys_admin,+sys_chroot");
    assert!(
        told.starts_with("done") && !told.contains("FAILED"),
        "{told}"
    );
}
