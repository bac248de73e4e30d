//! Whether the kernel forwards what netproxy has translated.

use super::Finding;
use super::machine::Machine;

pub(super) fn check(machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![ipv4(machine), ipv6(machine), reverse_path(machine)];
    findings.extend(bridges(machine));
    findings
}

fn ipv4(machine: &Machine) -> Finding {
    let subject = "IPv4 forwarding";
    let name = "net.ipv4.ip_forward";
    match machine.sysctl(name) {
        Ok(Some(value)) if value == "0" => {
            Finding::problem(subject, "off: packets for pods are dropped by this node")
                .remedy(format!("sysctl -w {name}=1"))
        }
        Ok(Some(_)) => Finding::ok(subject, "on"),
        Ok(None) => Finding::note(subject, format!("unknown: no {name} here")),
        Err(error) => Finding::note(subject, format!("unknown: {name}: {error}")),
    }
}

fn ipv6(machine: &Machine) -> Finding {
    let subject = "IPv6 forwarding";
    let name = "net.ipv6.conf.all.forwarding";
    match machine.sysctl(name) {
        Ok(Some(value)) if value == "0" => Finding::warning(
            subject,
            "off: IPv6 packets for pods are dropped by this node",
        )
        .remedy(format!("in a cluster with IPv6 pods: sysctl -w {name}=1")),
        Ok(Some(_)) => Finding::ok(subject, "on"),
        Ok(None) => Finding::note(subject, "IPv6 is off in this kernel"),
        Err(error) => Finding::note(subject, format!("unknown: {name}: {error}")),
    }
}

fn reverse_path(machine: &Machine) -> Finding {
    let subject = "reverse path filter";
    let name = "net.ipv4.conf.all.rp_filter";
    match machine.sysctl(name) {
        Ok(Some(value)) if value == "1" => Finding::note(
            subject,
            "strict: fine with one uplink; with several, packets are dropped that come in by \
             another than their reply would leave by",
        )
        .remedy(format!("on nodes with several uplinks: sysctl -w {name}=2")),
        Ok(Some(value)) if value == "2" => Finding::ok(subject, "loose"),
        Ok(Some(_)) => Finding::ok(subject, "left to each device"),
        Ok(None) => Finding::note(subject, format!("unknown: no {name} here")),
        Err(error) => Finding::note(subject, format!("unknown: {name}: {error}")),
    }
}

/// Only where there is a bridge with ports does it matter what netfilter sees of bridges.
fn bridges(machine: &Machine) -> Option<Finding> {
    let subject = "bridge netfilter";
    let name = "net.bridge.bridge-nf-call-iptables";
    let bridges: Vec<_> = machine
        .devices()
        .into_iter()
        .filter(|device| !machine.bridge_ports(device).is_empty())
        .collect();
    if bridges.is_empty() {
        return None;
    }
    let setting = match machine.sysctl(name) {
        Ok(setting) => setting,
        Err(error) => return Some(Finding::note(subject, format!("unknown: {name}: {error}"))),
    };
    let is_seen = |bridge: &String| match setting.as_deref() {
        Some("0") => machine.asks_for_netfilter(bridge),
        // Without the module what a bridge asks for has no effect.
        setting => setting.is_some(),
    };
    let unseen: Vec<_> = bridges
        .into_iter()
        .filter(|bridge| !is_seen(bridge))
        .collect();
    if unseen.is_empty() {
        return Some(Finding::ok(subject, "on"));
    }
    let found = format!(
        "off: netfilter, and with it NetworkPolicy made of its rules, does not see what pods on one \
         bridge ({}) send each other, and of what they ask a service the first packets only",
        unseen.join(", ")
    );
    Some(Finding::note(subject, found).remedy(format!(
        "if policies must hold between pods on one bridge: modprobe br_netfilter && \
         sysctl -w {name}=1"
    )))
}
