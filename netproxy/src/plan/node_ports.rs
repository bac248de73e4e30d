//! The addresses of this node that NodePorts answer on: `nodePortAddresses`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::{Family, Node};
use crate::settings::NodePortAddresses;

/// The addresses that stand for this node: in each family those `configured`, else those of its
/// Node object.
#[must_use]
pub fn node_ips(configured: &[IpAddr], node: Option<&Node>) -> Vec<IpAddr> {
    let declared = node.map_or(&[][..], |node| &node.addresses);
    Family::BOTH
        .into_iter()
        .flat_map(|family| {
            let of_family = move |address: &&IpAddr| Family::of(address) == family;
            let is_configured = configured.iter().any(|address| of_family(&address));
            let addresses = if is_configured { configured } else { declared };
            addresses.iter().filter(of_family).copied()
        })
        .collect()
}

/// Which of the node's `own` addresses `wanted` selects; `node_ips` are its primary ones.
///
/// The families are chosen for independently. One for which the list names nothing (no network of
/// it, and `primary` where no address of it is known) is not restricted, as in kube-proxy. What no
/// device of the node has is never selected: it may be somebody else's. Neither are loopback
/// addresses, whose packets cross no device that has a hook, nor link-local IPv6 addresses, which
/// mean something else on every device.
#[must_use]
pub fn node_port_addresses(
    wanted: &NodePortAddresses,
    node_ips: &[IpAddr],
    own: &BTreeSet<IpAddr>,
) -> BTreeSet<IpAddr> {
    let is_restricted = Family::BOTH.map(|family| is_restricted(wanted, node_ips, family));
    own.iter()
        .copied()
        .filter(is_reachable)
        .filter(|address| {
            !is_restricted[Family::of(address) as usize]
                || (wanted.primary && node_ips.contains(address))
                || wanted
                    .networks
                    .iter()
                    .any(|network| network.contains(address))
        })
        .collect()
}

/// Whether only some of the addresses of `family` are selected.
fn is_restricted(wanted: &NodePortAddresses, node_ips: &[IpAddr], family: Family) -> bool {
    let NodePortAddresses {
        primary,
        localhost,
        all,
        networks,
    } = wanted;
    let names_primary = *primary && node_ips.iter().any(|ip| Family::of(ip) == family);
    let names_network = networks
        .iter()
        .any(|network| Family::of(&network.addr()) == family);
    // On its own, `localhost` must not open every other address.
    let is_localhost_only = *localhost && !*primary && networks.is_empty();
    !*all && (names_primary || names_network || is_localhost_only)
}

fn is_reachable(address: &IpAddr) -> bool {
    let is_link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !address.is_loopback() && !is_link_local
}
