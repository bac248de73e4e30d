//! What load balancers are told at health-check node ports, and on which addresses: a value.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::model::{Family, ObjectName};
use crate::plan::HealthCheck;
use crate::settings::NodePortAddresses;

/// The health checks of all services.
#[derive(Clone, Debug)]
pub struct HealthChecks {
    services: BTreeMap<ObjectName, HealthCheck>,
    /// Whether IPv4 and IPv6 answer on some addresses only, as in [`Family::BOTH`].
    is_restricted: [bool; 2],
    /// Those addresses.
    addresses: BTreeSet<IpAddr>,
}

/// One place where load balancers ask after one service in one family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Door {
    /// Where; the unspecified address of the family stands for all of the node's.
    pub(super) address: SocketAddr,
    /// After whom.
    pub(super) service: ObjectName,
}

impl HealthChecks {
    /// None yet. Every address of the node answers, unless an operator has chosen those of
    /// NodePorts: probes may be addressed to the load balancer's own address.
    #[must_use]
    pub fn new(chosen: &NodePortAddresses) -> Self {
        Self {
            services: BTreeMap::new(),
            is_restricted: Family::BOTH.map(|family| is_restricted(chosen, family)),
            addresses: BTreeSet::new(),
        }
    }

    /// Where who is asked after.
    pub(super) fn doors(&self) -> BTreeSet<Door> {
        let mut doors = BTreeSet::new();
        for (service, check) in &self.services {
            for family in check.local_endpoints.keys() {
                doors.extend(self.addresses_of(*family).into_iter().map(|ip| Door {
                    address: SocketAddr::new(ip, check.node_port),
                    service: service.clone(),
                }));
            }
        }
        doors
    }

    /// How many endpoints of `service` are ready on this node in `family`. None of a service that
    /// has just gone.
    pub(super) fn local_endpoints(&self, service: &ObjectName, family: Family) -> usize {
        let check = self.services.get(service);
        check
            .and_then(|check| check.local_endpoints.get(&family).copied())
            .unwrap_or_default()
    }

    /// Sets the check of a service. Whether that changes anything.
    pub(super) fn set(&mut self, service: ObjectName, check: Option<HealthCheck>) -> bool {
        match check {
            Some(check) => {
                let is_changed = self.services.get(&service) != Some(&check);
                self.services.insert(service, check);
                is_changed
            }
            None => self.services.remove(&service).is_some(),
        }
    }

    /// Sets the addresses on which NodePorts answer. Whether that changes anything.
    pub(super) fn set_addresses(&mut self, addresses: &BTreeSet<IpAddr>) -> bool {
        let is_changed = self.addresses != *addresses;
        self.addresses.clone_from(addresses);
        is_changed && self.is_restricted.contains(&true)
    }

    fn addresses_of(&self, family: Family) -> Vec<IpAddr> {
        let [v4, v6] = self.is_restricted;
        match family {
            Family::V4 if !v4 => vec![Ipv4Addr::UNSPECIFIED.into()],
            Family::V6 if !v6 => vec![Ipv6Addr::UNSPECIFIED.into()],
            Family::V4 | Family::V6 => {
                let all = self.addresses.iter().copied();
                all.filter(|ip| Family::of(ip) == family).collect()
            }
        }
    }
}

/// Whether an operator has chosen some addresses of the family.
fn is_restricted(chosen: &NodePortAddresses, family: Family) -> bool {
    let NodePortAddresses {
        primary,
        localhost: _,
        all,
        networks,
    } = chosen;
    let of_family = || {
        networks
            .iter()
            .any(|network| Family::of(&network.addr()) == family)
    };
    *chosen != NodePortAddresses::default() && !all && (*primary || of_family())
}
