//! `netproxy cleanup` beside an agent, with flows that go on, and of kube-proxy's rules.

use std::process::{Command, Stdio};

use netproxy::datapath::Pins;

use crate::node::{Node, command, enter_flow, text};
use crate::objects::cart;

/// What kube-proxy leaves, beside what the kubelet and a CNI plugin have.
const NFT_RULES: &str = "\
table ip kube-proxy { chain services { type nat hook prerouting priority dstnat; ct state new accept; }; }
table ip6 kube-proxy { chain services { }; }
table ip cni { chain postrouting { type nat hook postrouting priority srcnat; }; }
";
const IPTABLES_RULES: &str = "\
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-AAAA - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:CNI-DN - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A PREROUTING -j CNI-DN
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-AAAA
COMMIT
";

/// Runs a program with this input.
fn run(program: &str, words: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {words:?}");
    text(&output.stdout)
}

#[test]
fn nothing_is_removed_while_an_agent_has_the_datapath() {
    let node = Node::new();
    drop(node.datapath());
    let pins = Pins::new(node.path());
    let claim = pins.claim().unwrap();
    assert!(claim.is_some());

    for words in ["cleanup", "cleanup --drain"] {
        let error = node.fails(words);
        assert!(error.contains("is in use by a netproxy agent"), "{error}");
    }
    assert!(pins.directory().exists());
    drop(claim);
    assert!(node.prints("cleanup").starts_with("removed "));
}

#[test]
fn a_drain_takes_the_frontends_out_and_waits_for_the_last_flow() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart()]).unwrap();
    drop(datapath);
    enter_flow(&node, 1, [192, 0, 2, 7]);

    let mut draining = command(node.path(), "cleanup --drain")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(draining.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();

    assert_eq!(line, "nothing new is served; 1 flows left\n");
    let services = node.json("services cart");
    assert_eq!(services[0]["frontends"].as_array().unwrap().len(), 0);
    assert_eq!(node.json("flows").as_array().unwrap().len(), 1);
    assert!(draining.try_wait().unwrap().is_none());
    draining.kill().unwrap();
    draining.wait().unwrap();
    let last = node.prints("cleanup --drain --timeout 0s");
    assert!(last.contains("1 flows are left"), "{last}");
    assert!(last.contains("\nremoved "), "{last}");
    assert!(!node.path().join("netproxy").exists());
}

#[test]
fn a_drain_without_flows_or_without_a_datapath_is_a_cleanup() {
    let node = Node::new();
    drop(node.datapath());

    let first = node.prints("cleanup --drain");
    let second = node.prints("cleanup --drain");

    assert!(
        first.starts_with("nothing new is served; 0 flows left\nremoved "),
        "{first}"
    );
    assert!(second.starts_with("nothing to remove"), "{second}");
}

#[test]
fn rules_of_kube_proxy_are_removed_and_those_of_others_are_not() {
    let node = Node::new();
    run("nft", &["-f", "-"], NFT_RULES);
    run("iptables-nft-restore", &["--noflush"], IPTABLES_RULES);

    let dry = node.prints("cleanup --kube-proxy --dry-run");
    let found = node.prints("cleanup --kube-proxy");
    let again = node.prints("cleanup --kube-proxy");

    let lines = [
        "nftables table ip kube-proxy",
        "nftables table ip6 kube-proxy",
        "2 chains of iptables-nft, table nat",
    ];
    let told = |verb: &str| lines.map(|line| format!("{verb}: {line}\n")).concat();
    assert_eq!(dry, told("would be removed"));
    assert_eq!(found, told("removed"));
    assert_eq!(again, "nothing to remove: kube-proxy has left no rules\n");
    let left = run("nft", &["list", "ruleset"], "");
    for kept in ["table ip cni", "KUBE-KUBELET-CANARY", "jump CNI-DN"] {
        assert!(left.contains(kept), "{kept}: {left}");
    }
    for gone in ["kube-proxy", "KUBE-S"] {
        assert!(!left.contains(gone), "{gone}: {left}");
    }
}
