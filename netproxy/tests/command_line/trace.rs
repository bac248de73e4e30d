//! `netproxy trace`: what it refuses, and how a packet is told to people. What becomes of packets is the lab's to show.

use std::process::Command;

use netproxy::datapath::Pins;

use crate::node::{Node, command, text, uplink};
use crate::objects::{basket, cart};

/// The node's uplink, up, with the address that programs are told and a default route by it.
fn bring_up() {
    for words in [
        "link set uplink address 02:02:02:02:02:02",
        "link set uplink up",
        "link set far up",
        "address add 192.0.2.1/24 dev uplink",
        "route add default via 192.0.2.254",
    ] {
        let done = Command::new("ip").args(words.split(' ')).output().unwrap();
        assert!(done.status.success(), "{words}: {}", text(&done.stderr));
    }
}

#[test]
fn what_cannot_be_traced_is_an_error_with_a_remedy() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart()]).unwrap();
    let device = uplink();
    bring_up();

    let unpinned = node.fails("trace 192.0.2.7 10.96.0.9:80 --device uplink");
    datapath.set_devices(&[device]).unwrap();
    let unknown_device = node.fails("trace 192.0.2.7 10.96.0.9:80 --device nothing");
    let no_program = node.fails("trace 192.0.2.7 10.96.0.9:80 --device far");
    let no_service = node.fails("trace 192.0.2.7 shop/nothing");
    let families = node.fails("trace 192.0.2.7 [fd00:96::9]:80");
    let flags = node.fails("trace 192.0.2.7 10.96.0.9:80 --protocol udp --flags syn");

    for (error, object, remedy) in [
        (unpinned, "device uplink", "--device"),
        (unknown_device, "device nothing", "`ip link`"),
        (no_program, "device far", "name one of uplink"),
        (no_service, "service shop/nothing", "`netproxy services`"),
        (families, "192.0.2.7", "two IP families"),
        (flags, "--flags", "leave it out"),
    ] {
        assert!(error.starts_with("error: "), "{error}");
        assert!(error.contains(object), "{error}");
        assert!(error.contains(remedy), "{error}");
    }
}

#[test]
fn a_datapath_of_an_older_release_has_no_programs_to_be_run() {
    let node = Node::new();
    let mut datapath = node.datapath();
    let device = uplink();
    bring_up();
    datapath.set_devices(&[device]).unwrap();
    std::fs::remove_dir_all(Pins::new(node.path()).programs()).unwrap();

    let error = node.fails("trace 192.0.2.7 10.96.0.9:80");

    assert!(error.contains("no program is pinned"), "{error}");
    assert!(error.contains("start the agent"), "{error}");
}

#[test]
fn a_packet_is_told_line_by_line() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[basket()]).unwrap();
    let device = uplink();
    bring_up();
    datapath.set_devices(&[device]).unwrap();

    let refused = node.prints("trace 192.0.2.7:4000 10.96.0.10:9 --protocol udp");
    let untouched = node.prints("trace 192.0.2.7:4000 198.18.0.1:80");

    assert_eq!(
        refused,
        "UDP 192.0.2.7:4000 -> 10.96.0.10:9\n\
         \n\
         ingress of uplink\n\
         \x20 asks for     port 9 of the cluster IP 10.96.0.10, which no service has\n\
         \x20 packet       192.0.2.7:4000 -> 10.96.0.10:9\n\
         \x20 verdict      refused by ICMP port unreachable (unused_port): A cluster IP has no service at \
         this port, or the packet is of a protocol without ports; the sender is told, as often as the limit \
         allows.\n\
         \n\
         refused: the sender is told at once that nobody serves it\n"
    );
    assert_eq!(
        untouched,
        "TCP SYN 192.0.2.7:4000 -> 198.18.0.1:80\n\
         \n\
         ingress of uplink\n\
         \x20 asks for     nothing of netproxy's\n\
         \x20 packet       192.0.2.7:4000 -> 198.18.0.1:80\n\
         \x20 verdict      passed on to the stack\n\
         \n\
         nothing of netproxy's is asked: the packet passes untouched\n"
    );
}

#[test]
fn an_address_without_a_port_is_wrong_usage() {
    let output = command(
        std::path::Path::new("/nowhere"),
        "trace 192.0.2.7 10.96.0.9",
    )
    .output()
    .unwrap();

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("10.96.0.9:80"));
}
