//! Addresses and ranges as Kubernetes reads them.
//!
//! Old objects hold IPv4 octets with leading zeros ("010.1.2.3"), which Kubernetes has always read
//! as decimal. Rust's parsers rightly refuse them, so the zeros are removed first. An IPv4-mapped
//! IPv6 address is the IPv4 address, as in Go's net package.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustc_hash::FxHashSet;

use super::complaint::Complaints;

/// The length of the prefix `::ffff:0:0/96` of IPv4-mapped addresses.
const MAPPED_PREFIX_BITS: u8 = 96;

/// The address that `text` writes, leading zeros allowed.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        parse_v6(text).map(|address| IpAddr::V6(address).to_canonical())
    } else {
        parse_v4(text).map(IpAddr::V4)
    }
}

/// The range that `text` writes, without host bits; leading zeros and white space around allowed.
pub(super) fn parse_range(text: &str) -> Option<IpNet> {
    let (address, bits) = text.trim().split_once('/')?;
    let bits = parse_decimal(bits).and_then(|bits| u8::try_from(bits).ok())?;
    let range = if address.contains(':') {
        let address = parse_v6(address)?;
        match (
            address.to_ipv4_mapped(),
            bits.checked_sub(MAPPED_PREFIX_BITS),
        ) {
            (Some(address), Some(bits)) => Ipv4Net::new(address, bits).ok()?.into(),
            _ => IpNet::from(Ipv6Net::new(address, bits).ok()?),
        }
    } else {
        IpNet::from(Ipv4Net::new(parse_v4(address)?, bits).ok()?)
    };
    Some(range.trunc())
}

/// The usable ones of `texts`, each once, in order; complains of the others.
pub(super) fn parse_addresses<'a>(
    field: &'static str,
    texts: impl IntoIterator<Item = &'a String>,
    complaints: &mut Complaints,
) -> Vec<IpAddr> {
    collect_usable(texts, parse_address, |text| {
        complaints.add(field, text, "ignored: not an IP address");
    })
}

/// The same, for where clients can be served.
pub(super) fn parse_servable<'a>(
    field: &'static str,
    texts: impl IntoIterator<Item = &'a String>,
    complaints: &mut Complaints,
) -> Vec<IpAddr> {
    let mut addresses = parse_addresses(field, texts, complaints);
    addresses.retain(|address| {
        let is_servable = is_unicast(address);
        if !is_servable {
            complaints.add(field, address, "ignored: nothing can be served there");
        }
        is_servable
    });
    addresses
}

/// The usable ones of `texts`, each once, in order; complains of the others.
pub(super) fn parse_ranges<'a>(
    field: &'static str,
    texts: impl IntoIterator<Item = &'a String>,
    complaints: &mut Complaints,
) -> Vec<IpNet> {
    collect_usable(texts, parse_range, |text| {
        complaints.add(field, text, "ignored: not a network in CIDR notation");
    })
}

/// Whether a packet to `address` can be somebody's: not unspecified, loopback, multicast or
/// broadcast.
pub(super) fn is_unicast(address: &IpAddr) -> bool {
    let is_broadcast = *address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast)
}

/// Passes over what is blank.
fn collect_usable<'a, T: Copy + Eq + Hash>(
    texts: impl IntoIterator<Item = &'a String>,
    parse: impl Fn(&str) -> Option<T>,
    mut complain: impl FnMut(&str),
) -> Vec<T> {
    let mut seen = FxHashSet::default();
    let mut usable = Vec::new();
    for text in texts {
        match parse(text) {
            Some(value) if seen.insert(value) => usable.push(value),
            Some(_) => {}
            None if text.trim().is_empty() => {}
            None => complain(text),
        }
    }
    usable
}

fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = u8::try_from(parse_decimal(parts.next()?)?).ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    match text.rsplit_once(':') {
        Some((head, tail)) if tail.contains('.') => {
            format!("{head}:{}", parse_v4(tail)?).parse().ok()
        }
        _ => text.parse().ok(),
    }
}

/// Decimal digits and nothing else: no sign, no white space, any number of leading zeros.
fn parse_decimal(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [
            ("10.1.2.3", Some("10.1.2.3")),
            ("010.001.02.003", Some("10.1.2.3")),
            ("0000010.1.2.3", Some("10.1.2.3")),
            ("fd00::00a", Some("fd00::a")),
            ("::ffff:10.1.2.3", Some("10.1.2.3")),
            ("::ffff:010.1.2.3", Some("10.1.2.3")),
            ("64:ff9b::010.1.2.3", Some("64:ff9b::a01:203")),
            ("10.1.2", None),
            ("10.1.2.3.4", None),
            ("10.1.2.256", None),
            ("+10.1.2.3", None),
            ("10..2.3", None),
            (" 10.1.2.3", None),
            ("0x0a.1.2.3", None),
            ("10.1.2.4294967297", None),
            ("fe80::1%eth0", None),
            ("fd00::00001", None),
            ("", None),
            ("None", None),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(parse_address(text), expected, "{text:?}");
        }
    }

    #[test]
    fn ranges_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("010.0.0.0/08", Some("10.0.0.0/8")),
            (" 10.0.0.0/8\t", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("fd00::1/064", Some("fd00::/64")),
            ("::/0", Some("::/0")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("10.0.0.0/33", None),
            ("fd00::/129", None),
            ("10.0.0.0/256", None),
            ("10.0.0.0/-1", None),
            ("10.0.0.0/", None),
            ("10.0.0.0", None),
        ] {
            let expected = expected.map(|range| range.parse().unwrap());
            assert_eq!(parse_range(text), expected, "{text:?}");
        }
    }

    #[test]
    fn unusable_and_repeated_addresses_are_left_out() {
        let texts = ["10.0.0.1", "nonsense", "", "010.0.0.1", "fd00::1"].map(String::from);

        let usable = parse_addresses("spec.externalIPs", &texts, &mut Complaints::default());

        assert_eq!(
            usable,
            ["10.0.0.1", "fd00::1"].map(|address| address.parse::<IpAddr>().unwrap())
        );
    }
}
