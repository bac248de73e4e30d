//! Which of the node's addresses NodePorts answer on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::ip;
use crate::model::Node;
use crate::plan::{node_ips, node_port_addresses};
use crate::settings::NodePortAddresses;

/// What the node of these tests has on its devices.
const OWN: [&str; 7] = [
    "127.0.0.1",
    "192.0.2.10",
    "198.51.100.7",
    "::1",
    "2001:db8::10",
    "2001:db8:1::7",
    "fe80::1",
];

/// The addresses of its Node object.
const PRIMARY: [&str; 2] = ["192.0.2.10", "2001:db8::10"];

/// From words as in `nodePortAddresses`.
fn wanted(words: &str) -> NodePortAddresses {
    let mut wanted = NodePortAddresses {
        primary: false,
        localhost: false,
        all: false,
        networks: Vec::new(),
    };
    for word in words.split_whitespace() {
        match word {
            "primary" => wanted.primary = true,
            "localhost" => wanted.localhost = true,
            "all" => wanted.all = true,
            network => wanted.networks.push(network.parse().unwrap()),
        }
    }
    wanted
}

/// The selected addresses, as text.
fn selected(words: &str, primary: &[&str]) -> String {
    let primary: Vec<_> = primary.iter().map(|address| ip(address)).collect();
    let own: BTreeSet<IpAddr> = OWN.iter().map(|address| ip(address)).collect();
    let selected = node_port_addresses(&wanted(words), &primary, &own);
    let selected: Vec<_> = selected.iter().map(ToString::to_string).collect();
    selected.join(" ")
}

fn node(addresses: &[&str]) -> Node {
    Node {
        name: "this".into(),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        zone: None,
        pod_cidrs: Vec::new(),
        is_leaving: false,
    }
}

#[test]
fn a_list_selects_addresses_in_each_family_by_itself() {
    let all_v4 = "192.0.2.10 198.51.100.7";
    let all_v6 = "2001:db8::10 2001:db8:1::7";
    for (rule, words, expected) in [
        (
            "one network, and the other family stays open",
            "192.0.2.0/24",
            format!("192.0.2.10 {all_v6}"),
        ),
        (
            "the zero network is everything",
            "0.0.0.0/0",
            format!("{all_v4} {all_v6}"),
        ),
        (
            "several IPv6 networks leave IPv4 open",
            "2001:db8::/64 ::1/128",
            format!("{all_v4} 2001:db8::10"),
        ),
        (
            "the IPv6 zero network is everything",
            "::/0",
            format!("{all_v4} {all_v6}"),
        ),
        (
            "one loopback address closes its family, as loopback has no hook",
            "127.0.0.1/32",
            all_v6.to_owned(),
        ),
        (
            "so does the loopback network",
            "127.0.0.0/8 ::1/128",
            String::new(),
        ),
        (
            "several networks of a family are taken together",
            "192.0.2.0/24 198.51.100.0/24",
            format!("{all_v4} {all_v6}"),
        ),
        (
            "networks of both families restrict both",
            "192.0.2.0/24 2001:db8:1::/48",
            "192.0.2.10 2001:db8:1::7".to_owned(),
        ),
        (
            "a network without an address of the node selects none",
            "203.0.113.0/24",
            all_v6.to_owned(),
        ),
        (
            "the zero network wins over one before it",
            "203.0.113.0/24 0.0.0.0/0",
            format!("{all_v4} {all_v6}"),
        ),
        (
            "the zero network wins over one after it",
            "0.0.0.0/0 203.0.113.0/24",
            format!("{all_v4} {all_v6}"),
        ),
        (
            "an empty list selects everything",
            "",
            format!("{all_v4} {all_v6}"),
        ),
        (
            "the node's primary addresses",
            "primary",
            "192.0.2.10 2001:db8::10".to_owned(),
        ),
        (
            "primary addresses and a network",
            "primary 198.51.100.0/24",
            format!("{all_v4} 2001:db8::10"),
        ),
        ("everything", "all", format!("{all_v4} {all_v6}")),
        (
            "everything, whatever else the list says",
            "all primary 203.0.113.0/24",
            format!("{all_v4} {all_v6}"),
        ),
        (
            "localhost alone opens nothing else",
            "localhost",
            String::new(),
        ),
        (
            "a link-local IPv6 address is nobody's in particular",
            "fe80::/10",
            all_v4.to_owned(),
        ),
    ] {
        assert_eq!(selected(words, &PRIMARY), expected, "{rule}");
    }
}

#[test]
fn the_default_is_the_primary_addresses() {
    let own: BTreeSet<IpAddr> = OWN.iter().map(|address| ip(address)).collect();
    let primary = PRIMARY.map(ip);

    let selected = node_port_addresses(&NodePortAddresses::default(), &primary, &own);

    assert_eq!(selected, BTreeSet::from(primary));
}

#[test]
fn a_family_without_a_known_primary_address_is_open() {
    assert_eq!(
        selected("primary localhost", &["192.0.2.10"]),
        "192.0.2.10 2001:db8::10 2001:db8:1::7"
    );
    assert_eq!(
        selected("primary 2001:db8:1::/48", &["192.0.2.10"]),
        "192.0.2.10 2001:db8:1::7"
    );
    assert_eq!(
        selected("primary", &[]),
        "192.0.2.10 198.51.100.7 2001:db8::10 2001:db8:1::7"
    );
}

#[test]
fn a_primary_address_that_no_device_has_is_somebody_elses() {
    assert_eq!(
        selected("primary", &["192.0.2.10", "203.0.113.10", "2001:db8::99"]),
        "192.0.2.10"
    );
}

#[test]
fn configured_node_addresses_take_the_place_of_the_declared_ones_of_their_family() {
    let node = node(&["192.0.2.10", "203.0.113.10", "2001:db8::10"]);

    for (configured, expected) in [
        (vec![], "192.0.2.10 203.0.113.10 2001:db8::10"),
        (vec![ip("198.51.100.7")], "198.51.100.7 2001:db8::10"),
        (
            vec![ip("198.51.100.7"), ip("2001:db8:1::7")],
            "198.51.100.7 2001:db8:1::7",
        ),
    ] {
        let ips: Vec<_> = node_ips(&configured, Some(&node))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(ips.join(" "), expected);
    }
    assert_eq!(node_ips(&[ip("192.0.2.1")], None), [ip("192.0.2.1")]);
    assert!(node_ips(&[], None).is_empty());
}
