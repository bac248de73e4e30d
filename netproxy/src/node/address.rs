//! An address assigned to a device of this node.

use std::net::IpAddr;

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};

/// An address assigned to a device. Link-local IPv6 addresses are not kept: every device has one,
/// and none is ever a service's, a node's or a translation's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    /// The device.
    pub ifindex: u32,
    /// The address itself, not its peer's.
    pub address: IpAddr,
    /// Length of the on-link prefix.
    pub prefix: u8,
    /// How far it is valid.
    pub scope: Scope,
    /// Whether packets to it are accepted; not so for an IPv6 duplicate.
    pub is_owned: bool,
    /// Whether the kernel would choose it as a source: neither tentative, duplicate nor deprecated.
    pub is_preferred: bool,
}

/// How far an address is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere, or within the site.
    Global,
    /// On the link only.
    Link,
    /// In this host only.
    Host,
}

impl LinkAddress {
    /// Reads an `RTM_NEWADDR` or `RTM_DELADDR`; `None` for those that are not kept.
    pub(super) fn from_message(message: &AddressMessage) -> Option<Self> {
        let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
        let mut address = None;
        let mut local = None;
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Address(found) => address = Some(*found),
                AddressAttribute::Local(found) => local = Some(*found),
                AddressAttribute::Flags(found) => flags = *found,
                _ => {}
            }
        }
        // On a point-to-point device IFA_ADDRESS is the peer's and IFA_LOCAL ours.
        let address = local.or(address)?;
        if matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            return None;
        }
        let is_duplicate = flags.contains(AddressFlags::Dadfailed);
        let is_tentative =
            flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
        Some(Self {
            ifindex: message.header.index,
            address,
            prefix: message.header.prefix_len,
            scope: Scope::from(message.header.scope),
            is_owned: !is_duplicate,
            is_preferred: !is_duplicate
                && !is_tentative
                && !flags.contains(AddressFlags::Deprecated),
        })
    }
}

impl From<AddressScope> for Scope {
    fn from(scope: AddressScope) -> Self {
        match scope {
            AddressScope::Link => Self::Link,
            AddressScope::Host | AddressScope::Nowhere => Self::Host,
            _ => Self::Global,
        }
    }
}
