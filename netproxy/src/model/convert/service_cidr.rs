//! `ServiceCIDR`s: the networks that cluster IPs are taken from.

use ipnet::IpNet;
use k8s_openapi::api::networking::v1 as networking;

use super::Interner;
use super::address::parse_ranges;
use crate::model::Label;

/// The object's name and networks, or None if it has no name.
pub fn service_cidr(
    object: &networking::ServiceCIDR,
    interner: &mut Interner,
) -> Option<(Label, Vec<IpNet>)> {
    let name = object
        .metadata
        .name
        .as_deref()
        .filter(|name| !name.is_empty())?;
    let cidrs = object
        .spec
        .iter()
        .flat_map(|spec| spec.cidrs.iter().flatten());
    Some((interner.intern(name), parse_ranges("spec.cidrs", cidrs)))
}
