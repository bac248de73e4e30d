//! `ServiceCIDR`s: the networks that cluster IPs are taken from.

use ipnet::IpNet;
use k8s_openapi::api::networking::v1 as networking;

use super::address::parse_ranges;
use super::complaint::Complaints;
use super::{Interner, is_name};
use crate::model::Label;

/// The object's name and networks, or None if it has no name.
pub fn service_cidr(
    object: &networking::ServiceCIDR,
    interner: &mut Interner,
) -> Option<(Label, Vec<IpNet>)> {
    let mut complaints = Complaints::default();
    let networks = read(object, interner, &mut complaints);
    complaints.log("ServiceCIDR", &object.metadata);
    networks
}

pub(super) fn read(
    object: &networking::ServiceCIDR,
    interner: &mut Interner,
    complaints: &mut Complaints,
) -> Option<(Label, Vec<IpNet>)> {
    const FIELD: &str = "spec.cidrs";
    let name = object
        .metadata
        .name
        .as_deref()
        .filter(|name| is_name(name))?;
    let cidrs = object
        .spec
        .iter()
        .flat_map(|spec| spec.cidrs.iter().flatten());
    let mut networks = parse_ranges(FIELD, cidrs, complaints);
    networks.retain(|network| {
        let is_part = network.prefix_len() > 0;
        if !is_part {
            complaints.add(FIELD, network, "ignored: everything else would be dropped");
        }
        is_part
    });
    Some((interner.intern(name), networks))
}
