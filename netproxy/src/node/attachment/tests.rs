//! Which devices of which nodes are attached to, and as what.

use super::*;
use crate::node::{LinkAddress, Scope};

const NODE_V4: &str = "192.0.2.10";
const NODE_V6: &str = "2001:db8::10";

/// Starts from a node with `lo` alone.
struct Network(NodeNetwork);

impl Network {
    fn new() -> Self {
        let mut network = Self(NodeNetwork::default());
        network.link(1, "lo", LinkKind::Loopback);
        network.address(1, "127.0.0.1");
        network
    }

    fn link(&mut self, ifindex: u32, name: &str, kind: LinkKind) -> &mut Link {
        let mac = [2, 0, 0, 0, 0, u8::try_from(ifindex).unwrap()];
        self.0.links.entry(ifindex).or_insert(Link {
            ifindex,
            name: name.to_owned(),
            kind,
            layer: LinkLayer::Ethernet,
            master: None,
            lower: None,
            peer_is_elsewhere: false,
            mac: Some(mac),
            is_up: true,
            bridge_netfilter: BridgeNetfilter::default(),
        })
    }

    fn tunnel(&mut self, ifindex: u32, name: &str, kind: LinkKind) {
        let link = self.link(ifindex, name, kind);
        link.layer = LinkLayer::None;
        link.mac = None;
    }

    fn pod_veth(&mut self, ifindex: u32, name: &str, master: Option<u32>) {
        let link = self.link(ifindex, name, LinkKind::Veth);
        link.peer_is_elsewhere = true;
        link.lower = Some(2);
        link.master = master;
    }

    fn address(&mut self, ifindex: u32, address: &str) -> &mut LinkAddress {
        self.0.addresses.push(LinkAddress {
            ifindex,
            address: address.parse().unwrap(),
            prefix: 24,
            scope: Scope::Global,
            is_owned: true,
            is_preferred: true,
        });
        self.0.addresses.last_mut().unwrap()
    }

    fn uplink(&mut self, ifindex: u32) {
        self.address(ifindex, NODE_V4);
        self.address(ifindex, NODE_V6);
        self.0.default_route_links.insert(ifindex);
    }

    fn attached(&self) -> Vec<Attachment> {
        self.attached_as(&DevicePatterns::default())
    }

    fn attached_as(&self, patterns: &DevicePatterns) -> Vec<Attachment> {
        attachments(
            &self.0,
            patterns,
            &[NODE_V4.parse().unwrap(), NODE_V6.parse().unwrap()],
            &LocalPods::Device,
        )
    }

    /// Name and kind of every attachment.
    fn sides(&self) -> Vec<(String, DeviceKind)> {
        self.attached()
            .into_iter()
            .map(|device| (device.name, device.kind))
            .collect()
    }
}

fn sides<const N: usize>(expected: [(&str, DeviceKind); N]) -> Vec<(String, DeviceKind)> {
    expected
        .map(|(name, kind)| (name.to_owned(), kind))
        .to_vec()
}

#[test]
fn pods_on_a_bridge_are_hooked_at_its_ports_and_addressed_by_its_mac() {
    let mut network = Network::new();
    network.link(2, "eth0", LinkKind::Physical);
    network.uplink(2);
    network.link(3, "cni0", LinkKind::Bridge);
    network.address(3, "10.244.1.1");
    network.pod_veth(4, "veth1", Some(3));

    let attached = network.attached();

    assert_eq!(
        network.sides(),
        sides([("eth0", DeviceKind::Outside), ("veth1", DeviceKind::Pod)])
    );
    let port = &attached[1];
    assert_eq!(port.master, 3);
    assert_eq!(port.mac, [2, 0, 0, 0, 0, 3]);
}

#[test]
fn what_netfilter_sees_of_a_bridge_is_what_its_ports_are_told() {
    const UNSEEN: u8 = DeviceFlags::UNSEEN_V4 | DeviceFlags::UNSEEN_V6;
    let v4 = BridgeNetfilter {
        v4: true,
        v6: false,
    };
    let none = BridgeNetfilter::default();
    for (all, own, flags) in [
        (None, none, UNSEEN),
        // Without the module what a bridge asks for has no effect.
        (None, v4, UNSEEN),
        (Some(none), none, UNSEEN),
        (Some(v4), none, DeviceFlags::UNSEEN_V6),
        (Some(none), v4, DeviceFlags::UNSEEN_V6),
    ] {
        let mut network = Network::new();
        network.link(3, "cni0", LinkKind::Bridge).bridge_netfilter = own;
        network.pod_veth(4, "veth1", Some(3));
        network.pod_veth(5, "veth2", None);
        network.0.bridge_netfilter = all;

        let attached = network.attached();

        assert_eq!(attached[0].device().flags, flags, "{all:?}, {own:?}");
        assert_eq!(attached[1].device().flags, 0);
    }
}

#[test]
fn point_to_point_pods_need_no_bridge() {
    let mut network = Network::new();
    network.link(2, "ens5", LinkKind::Physical);
    network.uplink(2);
    network.pod_veth(3, "cali123", None);

    let attached = network.attached();

    let pod = &attached[1];
    assert_eq!(
        (pod.name.as_str(), pod.kind, pod.master),
        ("cali123", DeviceKind::Pod, 0)
    );
    assert_eq!(pod.mac, [2, 0, 0, 0, 0, 3]);
}

#[test]
fn a_veth_uplink_of_a_node_in_a_container_leads_outside() {
    let mut by_address = Network::new();
    by_address.pod_veth(2, "eth0", None);
    by_address.address(2, NODE_V4);
    let mut by_route = Network::new();
    by_route.pod_veth(2, "eth0", None);
    by_route.0.default_route_links.insert(2);

    assert_eq!(by_address.sides(), sides([("eth0", DeviceKind::Outside)]));
    assert_eq!(by_route.sides(), sides([("eth0", DeviceKind::Outside)]));
}

#[test]
fn a_veth_with_both_ends_here_leads_outside() {
    let mut network = Network::new();
    network.link(2, "left", LinkKind::Veth).lower = Some(3);
    network.link(3, "right", LinkKind::Veth).lower = Some(2);

    assert_eq!(
        network.sides(),
        sides([
            ("left", DeviceKind::Outside),
            ("right", DeviceKind::Outside)
        ])
    );
}

#[test]
fn overlays_and_tunnels_lead_outside_with_or_without_a_link_layer() {
    let mut network = Network::new();
    network.link(2, "flannel.1", LinkKind::Vxlan);
    network.address(2, "10.244.1.0");
    network.link(3, "genev_sys", LinkKind::Geneve);
    network.tunnel(4, "wg0", LinkKind::WireGuard);
    network.tunnel(5, "tunl0", LinkKind::IpIp);
    network.tunnel(6, "tun0", LinkKind::Tun);

    let attached = network.attached();

    assert!(
        attached
            .iter()
            .all(|device| device.kind == DeviceKind::Outside)
    );
    assert_eq!(
        attached
            .iter()
            .map(|device| device.has_link_layer)
            .collect::<Vec<_>>(),
        [true, true, false, false, false]
    );
    assert_eq!(attached[2].mac, [0; 6]);
}

#[test]
fn a_bond_is_hooked_above_its_members_and_its_vlans_too() {
    let mut network = Network::new();
    network.link(2, "eth0", LinkKind::Physical).master = Some(4);
    network.link(3, "eth1", LinkKind::Physical).master = Some(4);
    network.link(4, "bond0", LinkKind::Bond);
    network.link(5, "bond0.100", LinkKind::Vlan).lower = Some(4);
    network.uplink(5);
    network.link(6, "eth2", LinkKind::Physical).master = Some(7);
    network.link(7, "team0", LinkKind::Team);

    assert_eq!(
        network.sides(),
        sides([
            ("bond0", DeviceKind::Outside),
            ("bond0.100", DeviceKind::Outside),
            ("team0", DeviceKind::Outside)
        ])
    );
}

#[test]
fn a_virtual_function_behind_a_synthetic_nic_is_left_to_it() {
    let mut network = Network::new();
    network.link(2, "eth0", LinkKind::Physical);
    network.uplink(2);
    network.link(3, "enP1s1", LinkKind::Physical).master = Some(2);

    assert_eq!(network.sides(), sides([("eth0", DeviceKind::Outside)]));
}

#[test]
fn on_a_bridge_that_has_the_nodes_address_the_nic_leads_outside_and_the_taps_to_guests() {
    let mut network = Network::new();
    network.link(2, "br0", LinkKind::Bridge);
    network.uplink(2);
    network.link(3, "eno1", LinkKind::Physical).master = Some(2);
    network.link(4, "tap0", LinkKind::Tun).master = Some(2);
    network.pod_veth(5, "veth1", Some(2));

    let attached = network.attached();

    assert_eq!(
        network.sides(),
        sides([
            ("eno1", DeviceKind::Outside),
            ("tap0", DeviceKind::Pod),
            ("veth1", DeviceKind::Pod)
        ])
    );
    assert!(
        attached
            .iter()
            .all(|port| port.master == 2 && port.mac == [2, 0, 0, 0, 0, 2])
    );
}

#[test]
fn a_port_of_something_that_is_no_bridge_is_a_device_of_its_own() {
    let mut network = Network::new();
    network.link(2, "ovs-system", LinkKind::Other("openvswitch".to_owned()));
    network.pod_veth(3, "pod1", Some(2));
    network.link(4, "blue", LinkKind::Vrf);
    network.link(5, "eth1", LinkKind::Physical).master = Some(4);

    let attached = network.attached();

    assert_eq!(
        network.sides(),
        sides([
            ("ovs-system", DeviceKind::Outside),
            ("pod1", DeviceKind::Pod),
            ("eth1", DeviceKind::Outside)
        ])
    );
    assert!(attached.iter().all(|device| device.master == 0));
    assert_eq!(attached[1].mac, [2, 0, 0, 0, 0, 3]);
}

#[test]
fn devices_that_carry_no_packets_of_pods_or_the_outside_are_left_alone() {
    let mut network = Network::new();
    network.link(2, "kube-ipvs0", LinkKind::Dummy);
    network.link(3, "ifb0", LinkKind::Ifb);
    network.link(4, "docker0", LinkKind::Bridge);
    network
        .link(5, "can0", LinkKind::Other("can".to_owned()))
        .layer = LinkLayer::Foreign;

    assert_eq!(network.sides(), sides([]));
}

#[test]
fn netkit_leads_to_a_pod_and_stacked_devices_lead_outside() {
    let mut network = Network::new();
    network.tunnel(2, "nk0", LinkKind::Netkit);
    network.link(3, "macvlan0", LinkKind::Macvlan);
    network.link(4, "ipvlan0", LinkKind::Ipvlan);

    assert_eq!(
        network.sides(),
        sides([
            ("nk0", DeviceKind::Pod),
            ("macvlan0", DeviceKind::Outside),
            ("ipvlan0", DeviceKind::Outside)
        ])
    );
}

#[test]
fn patterns_choose_among_carriers_and_exclusion_wins() {
    let mut network = Network::new();
    for (ifindex, name) in [(2, "eth0"), (3, "eth1"), (4, "eth10"), (5, "wlan0")] {
        network.link(ifindex, name, LinkKind::Physical);
    }
    let names = |include: &[&str], exclude: &[&str]| {
        let attached = network.attached_as(&DevicePatterns::new(include, exclude));
        attached
            .into_iter()
            .map(|device| device.name)
            .collect::<Vec<_>>()
    };

    assert_eq!(names(&[], &[]), ["eth0", "eth1", "eth10", "wlan0"]);
    assert_eq!(names(&["eth?"], &[]), ["eth0", "eth1"]);
    assert_eq!(names(&["eth*"], &["eth1*"]), ["eth0"]);
    assert_eq!(names(&["lo", "wlan0"], &[]), ["wlan0"]);
}

#[test]
fn the_programs_are_told_what_was_decided() {
    let mut network = Network::new();
    network.link(3, "cni0", LinkKind::Bridge);
    network.address(3, "10.244.1.1");
    network.pod_veth(4, "veth1", Some(3));

    let device = network.attached()[0].device();

    assert_eq!(device.kind, DeviceKind::Pod as u8);
    assert_eq!((device.master, device.mac), (3, [2, 0, 0, 0, 0, 3]));
}

#[test]
fn the_nodes_addresses_are_what_it_answers_to_from_elsewhere() {
    let mut network = Network::new();
    network.address(1, "127.0.0.53");
    network.address(1, "::1");
    network.address(1, "198.51.100.1");
    network.link(2, "eth0", LinkKind::Physical);
    network.uplink(2);
    network.address(2, "2001:db8::dead").is_owned = false;
    network.address(2, "ff05::2");
    network.address(2, "169.254.20.10").scope = Scope::Link;

    let addresses: Vec<_> = network
        .0
        .node_addresses()
        .iter()
        .map(IpAddr::to_string)
        .collect();

    assert_eq!(
        addresses,
        ["169.254.20.10", NODE_V4, "198.51.100.1", NODE_V6]
    );
}

/// A pod bridge `cni0` with the ports `veth1` and `tap1`, a routed pod's `cali1`, and `eth0`.
fn node_with_pods() -> Network {
    let mut network = Network::new();
    network.link(2, "eth0", LinkKind::Physical);
    network.uplink(2);
    network.link(3, "cni0", LinkKind::Bridge);
    network.pod_veth(4, "veth1", Some(3));
    network.link(5, "tap1", LinkKind::Tun).master = Some(3);
    network.pod_veth(6, "cali1", None);
    network
}

/// The devices of [`node_with_pods`] that are marked.
fn marked(local_pods: &LocalPods) -> Vec<String> {
    let network = node_with_pods();
    attachments(&network.0, &DevicePatterns::default(), &[], local_pods)
        .into_iter()
        .filter(|attachment| attachment.device().flags & DeviceFlags::LOCAL_PODS != 0)
        .map(|attachment| attachment.name)
        .collect()
}

#[test]
fn local_pods_by_bridge_are_behind_its_ports() {
    assert_eq!(
        marked(&LocalPods::Bridge("cni0".to_owned())),
        ["veth1", "tap1"]
    );
    assert_eq!(marked(&LocalPods::Bridge("cali1".to_owned())), ["cali1"]);
    assert!(
        marked(&LocalPods::Bridge("cni".to_owned())).is_empty(),
        "the whole name counts"
    );
}

#[test]
fn local_pods_by_prefix_are_behind_devices_and_bridges_of_such_names() {
    for (prefix, expected) in [
        ("cali", &["cali1"][..]),
        ("veth", &["veth1"]),
        ("cni", &["veth1", "tap1"]),
        ("c", &["veth1", "tap1", "cali1"]),
        ("eth1", &[]),
    ] {
        assert_eq!(
            marked(&LocalPods::NamePrefix(prefix.to_owned())),
            expected,
            "{prefix}"
        );
    }
}

#[test]
fn no_device_is_marked_where_local_pods_are_told_otherwise() {
    for local_pods in [
        LocalPods::Device,
        LocalPods::Networks(vec!["10.0.0.0/8".parse().unwrap()]),
        LocalPods::NodeCidrs,
        LocalPods::Nobody,
    ] {
        assert!(marked(&local_pods).is_empty(), "{local_pods:?}");
    }
}
