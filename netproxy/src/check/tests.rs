//! A directory plays the machine; what cannot be played is asked of the real kernel. Needs root.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::*;

const MOUNTINFO_V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";

/// A node with nothing to complain of, as far as files tell.
struct Node {
    root: TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self {
            root: TempDir::new().unwrap(),
        };
        node.write("proc/sys/kernel/osrelease", "6.12.9-amd64\n");
        node.write("proc/sys/net/core/bpf_jit_enable", "1\n");
        node.write("proc/sys/net/ipv4/ip_forward", "1\n");
        node.write("proc/sys/net/ipv6/conf/all/forwarding", "1\n");
        node.write("proc/sys/net/ipv4/conf/all/rp_filter", "0\n");
        node.write("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
        node.write("proc/sys/net/ipv4/ip_local_reserved_ports", "\n");
        node.write("proc/self/mountinfo", MOUNTINFO_V2);
        node.write(
            "proc/self/status",
            &fs::read_to_string("/proc/self/status").unwrap(),
        );
        node.write("sys/kernel/btf/vmlinux", "");
        node.cgroup_namespace("cgroup:[4026531835]");
        node
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn cgroup_namespace(&self, link: &str) {
        let path = self.root.path().join("proc/self/ns/cgroup");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        symlink(link, path).unwrap();
    }

    fn sysctl(&self, name: &str, value: &str) {
        self.write(&format!("proc/sys/{}", name.replace('.', "/")), value);
    }

    fn without(&self, path: &str) {
        fs::remove_file(self.root.path().join(path)).unwrap();
    }

    fn options(&self) -> CheckOptions {
        CheckOptions {
            proc: self.root.path().join("proc"),
            sys: self.root.path().join("sys"),
            ..CheckOptions::default()
        }
    }

    fn about(&self, subject: &str) -> Vec<Finding> {
        run(&self.options())
            .into_iter()
            .filter(|finding| finding.subject == subject)
            .collect()
    }

    /// The level of the only finding about `subject`.
    fn level(&self, subject: &str) -> Level {
        let findings = self.about(subject);
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings[0].level
    }
}

/// Runs `scenario` on a thread of its own in new namespaces.
fn in_new_namespaces(flags: CloneFlags, scenario: impl FnOnce() + Send + 'static) {
    let outcome = thread::spawn(move || {
        unshare(flags).unwrap_or_else(|error| {
            panic!("cannot make a namespace: {error}; run the tests as root (sudo -E)")
        });
        scenario();
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn run_tool(program: &str, arguments: &str, remedy: &str) {
    let status = Command::new(program)
        .args(arguments.split(' '))
        .status()
        .unwrap_or_else(|error| panic!("{program}: {error}; install it: {remedy}"));
    assert!(status.success(), "{program} {arguments}");
}

#[test]
fn a_good_node_gets_one_ok_for_each_subject_that_files_tell_of() {
    let node = Node::new();

    for subject in [
        "kernel",
        "BTF",
        "BPF JIT",
        "cgroup v2",
        "IPv4 forwarding",
        "IPv6 forwarding",
        "reverse path filter",
        "NodePort range",
        "source ports",
    ] {
        assert_eq!(node.level(subject), Level::Ok, "{:?}", node.about(subject));
    }
}

#[test]
fn no_finding_is_given_twice_and_every_problem_has_a_remedy() {
    let node = Node::new();
    node.sysctl("net.ipv4.ip_forward", "0");
    node.without("sys/kernel/btf/vmlinux");

    let findings = run(&node.options());

    for (position, finding) in findings.iter().enumerate() {
        assert!(!findings[..position].contains(finding), "{finding:?}");
        assert!(
            finding.level < Level::Warning || finding.remedy.is_some(),
            "{finding:?}"
        );
    }
}

#[test]
fn kernels_are_judged_by_what_they_lack() {
    let node = Node::new();
    for (release, level, lack) in [
        ("5.15.0-91-generic", Level::Problem, "older than 6.1"),
        ("6.1.0-13-amd64", Level::Note, "tcx"),
        ("6.6.8", Level::Note, "source"),
        ("6.7.0-rc1", Level::Ok, "6.7.0"),
        ("10.0.0", Level::Ok, "10.0.0"),
        ("unknown", Level::Note, "not a version"),
    ] {
        node.sysctl("kernel.osrelease", release);

        let finding = &node.about("kernel")[0];

        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.found.contains(lack), "{finding:?}");
    }
}

#[test]
fn a_switched_off_forwarding_or_compiler_is_told_with_the_command_that_switches_it_on() {
    let node = Node::new();
    for (name, subject, level) in [
        ("net.ipv4.ip_forward", "IPv4 forwarding", Level::Problem),
        (
            "net.ipv6.conf.all.forwarding",
            "IPv6 forwarding",
            Level::Warning,
        ),
        ("net.core.bpf_jit_enable", "BPF JIT", Level::Warning),
    ] {
        node.sysctl(name, "0\n");

        let finding = &node.about(subject)[0];

        assert_eq!(finding.level, level);
        assert!(
            finding
                .remedy
                .as_ref()
                .unwrap()
                .ends_with(&format!("sysctl -w {name}=1"))
        );
    }
}

#[test]
fn what_cannot_be_read_is_said_to_be_unknown() {
    let node = Node::new();
    node.without("proc/sys/net/ipv4/ip_forward");
    node.without("proc/sys/net/ipv4/ip_local_port_range");
    node.without("proc/self/mountinfo");
    node.write("proc/self/status", "garbage");

    for subject in ["IPv4 forwarding", "ports", "cgroup v2", "privileges"] {
        let finding = &node.about(subject)[0];
        assert_eq!(finding.level, Level::Note);
        assert!(finding.found.starts_with("unknown: "), "{finding:?}");
    }
}

#[test]
fn bridge_netfilter_matters_only_where_a_bridge_has_ports() {
    let node = Node::new();
    node.write("sys/class/net/eth0/mtu", "1500");
    fs::create_dir_all(node.root.path().join("sys/class/net/docker0/brif")).unwrap();
    assert_eq!(node.about("bridge netfilter"), []);

    node.write("sys/class/net/cni0/brif/veth1/port_no", "0x1");
    assert_eq!(node.level("bridge netfilter"), Level::Note);

    // Without the module what the bridge asks for has no effect.
    node.write("sys/class/net/cni0/bridge/nf_call_iptables", "1");
    assert_eq!(node.level("bridge netfilter"), Level::Note);

    node.sysctl("net.bridge.bridge-nf-call-iptables", "0");
    assert_eq!(node.level("bridge netfilter"), Level::Ok);

    node.write("sys/class/net/cni0/bridge/nf_call_iptables", "0");
    assert_eq!(node.level("bridge netfilter"), Level::Note);

    node.sysctl("net.bridge.bridge-nf-call-iptables", "1");
    assert_eq!(node.level("bridge netfilter"), Level::Ok);
}

#[test]
fn the_node_port_range_must_be_kept_from_outgoing_connections() {
    let node = Node::new();
    node.sysctl("net.ipv4.ip_local_port_range", "32000 60999");
    node.sysctl("net.ipv4.ip_local_reserved_ports", "8080");

    let finding = &node.about("NodePort range")[0];

    assert_eq!(finding.level, Level::Warning);
    assert!(finding.found.starts_with("768 ports"), "{finding:?}");
    let remedy = finding.remedy.as_deref();
    assert_eq!(
        remedy,
        Some("sysctl -w net.ipv4.ip_local_reserved_ports=8080,30000-32767")
    );

    node.sysctl("net.ipv4.ip_local_reserved_ports", "8080,30000-32767");
    assert_eq!(node.level("NodePort range"), Level::Ok);
}

#[test]
fn few_source_ports_are_a_warning_and_none_a_problem() {
    let node = Node::new();

    node.sysctl("net.ipv4.ip_local_port_range", "12000\t65535");
    assert_eq!(node.level("source ports"), Level::Warning);

    node.sysctl("net.ipv4.ip_local_port_range", "1024\t65535");
    assert_eq!(node.level("source ports"), Level::Problem);
}

#[test]
fn the_cgroup_is_told_with_the_reason_and_its_absence_is_a_problem() {
    let node = Node::new();
    node.write("proc/self/cgroup", "0::/system.slice/netproxy.service\n");
    node.write("proc/1/cgroup", "0::/init.scope\n");
    let finding = &node.about("cgroup v2")[0];
    assert_eq!(finding.level, Level::Ok);
    assert_eq!(
        finding.found,
        "/sys/fs/cgroup: the node's first process is below it"
    );

    node.write(
        "proc/self/mountinfo",
        "31 23 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n",
    );
    assert_eq!(find_cgroup_root(&node.options().proc).unwrap(), None);
    assert_eq!(node.level("cgroup v2"), Level::Problem);
}

#[test]
fn a_containers_own_cgroup_is_a_warning_unless_the_hosts_hierarchy_was_mounted_into_it() {
    let node = Node::new();
    node.cgroup_namespace("cgroup:[4026533000]");
    node.write("proc/self/cgroup", "0::/\n");
    node.write("proc/1/cgroup", "0::/\n");
    assert_eq!(node.level("cgroup v2"), Level::Warning);

    node.write(
        "proc/self/mountinfo",
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n\
         31 23 0:26 /../../.. /host/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
    );
    assert_eq!(node.level("cgroup v2"), Level::Ok);
}

#[test]
fn a_chosen_cgroup_must_be_one() {
    let node = Node::new();
    let options = CheckOptions {
        cgroup: Some(node.root.path().to_owned()),
        ..node.options()
    };

    let findings = run(&options);

    let finding = findings
        .iter()
        .find(|finding| finding.subject == "cgroup v2")
        .unwrap();
    assert_eq!(finding.level, Level::Problem);
}

#[test]
fn a_bpffs_is_told_from_a_mere_directory() {
    in_new_namespaces(CloneFlags::CLONE_NEWNS, || {
        let node = Node::new();
        let bpffs = node.root.path().join("bpf");
        fs::create_dir(&bpffs).unwrap();
        let check = || mounts::bpffs(&bpffs);
        let before = check();
        assert_eq!(before.level, Level::Problem);
        let command = format!("mkdir -p {0} && mount -t bpf bpf {0}", bpffs.display());
        assert_eq!(before.remedy, Some(command));

        // The mount must not reach the first namespace, which the directory's end could not clear.
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )
        .unwrap();
        mount(
            Some("bpf"),
            &bpffs,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();

        assert_eq!(check().level, Level::Ok);
        nix::mount::umount(&bpffs).unwrap();
    });
}

#[test]
fn rules_that_kube_proxy_left_are_found_in_the_kernel() {
    in_new_namespaces(CloneFlags::CLONE_NEWNET, || {
        let node = Node::new();
        assert_eq!(node.level("kube-proxy rules"), Level::Ok);
        let nft = |arguments| run_tool("nft", arguments, "apt-get install nftables");

        nft("add table ip kube-proxy");
        nft("add table ip6 kube-proxy");
        nft("add table ip nat");
        nft("add chain ip nat KUBE-SERVICES");
        nft("add chain ip nat KUBE-KUBELET-CANARY");

        let findings = node.about("kube-proxy rules");
        let found: Vec<_> = findings
            .iter()
            .map(|finding| finding.found.as_str())
            .collect();
        assert_eq!(
            found,
            [
                "nftables table ip kube-proxy",
                "nftables table ip6 kube-proxy",
                "chains of kube-proxy in the nat table of iptables (nft): 1"
            ]
        );
        assert!(
            findings
                .iter()
                .all(|finding| finding.level == Level::Warning)
        );
    });
}

#[test]
fn every_one_of_very_many_chains_is_read() {
    in_new_namespaces(CloneFlags::CLONE_NEWNET, || {
        let directory = TempDir::new().unwrap();
        let rules = directory.path().join("rules");
        let chains: Vec<_> = (0..3000)
            .map(|number| format!("chain KUBE-SVC-{number:016} {{ }}"))
            .collect();
        let text = format!("table ip nat {{\n{}\n}}\n", chains.join("\n"));
        fs::write(&rules, text).unwrap();
        run_tool(
            "nft",
            &format!("-f {}", rules.display()),
            "apt-get install nftables",
        );

        let entries = crate::netfilter::entries().unwrap();

        assert_eq!(
            entries.iter().filter(|entry| entry.chain.is_some()).count(),
            3000
        );
    });
}

#[test]
fn the_device_of_the_ipvs_mode_is_a_leftover() {
    in_new_namespaces(CloneFlags::CLONE_NEWNET, || {
        let node = Node::new();
        node.write("sys/class/net/kube-ipvs0/mtu", "1500");

        let finding = &node.about("kube-proxy rules")[0];

        assert_eq!(finding.level, Level::Warning);
        assert!(finding.found.starts_with("kube-ipvs0"));
    });
}
