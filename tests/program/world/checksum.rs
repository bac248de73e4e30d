//! Whether the checksums of a packet are right, computed by etherparse from what the packet holds.

use etherparse::{IpNumber, NetSlice, SlicedPacket, TransportSlice};

use super::packet;

/// Of a packet that starts with an IP header: of that header, and of TCP, UDP, SCTP or ICMP. None where there
/// is none to check: no IP packet, a fragment, another protocol, a UDP checksum of zero.
pub(crate) fn checksums_hold(packet: &[u8]) -> (Option<bool>, Option<bool>) {
    let Ok(packet) = SlicedPacket::from_ip(packet) else {
        return (None, None);
    };
    let sctp = packet
        .ip_payload()
        .filter(|payload| payload.ip_number == IpNumber::SCTP && !payload.fragmented)
        .and_then(|payload| packet::sctp_holds(payload.payload));
    match (packet.net, packet.transport) {
        (Some(NetSlice::Ipv4(ip)), transport) => {
            let header = ip.header().to_header();
            let is_right = header.header_checksum == header.calc_header_checksum();
            let (source, destination) = (header.source, header.destination);
            let transport = match transport {
                Some(TransportSlice::Tcp(tcp)) => {
                    let right = tcp.calc_checksum_ipv4(source, destination).unwrap();
                    Some(tcp.checksum() == right)
                }
                Some(TransportSlice::Udp(udp)) if udp.checksum() != 0 => {
                    let header = udp.to_header();
                    let right = header.calc_checksum_ipv4_raw(source, destination, udp.payload());
                    Some(udp.checksum() == right.unwrap())
                }
                Some(TransportSlice::Icmpv4(icmp)) => {
                    let right = icmp.icmp_type().calc_checksum(icmp.payload());
                    Some(icmp.checksum() == right)
                }
                _ => sctp,
            };
            (Some(is_right), transport)
        }
        (Some(NetSlice::Ipv6(ip)), transport) => {
            let header = ip.header().to_header();
            let (source, destination) = (header.source, header.destination);
            let transport = match transport {
                Some(TransportSlice::Tcp(tcp)) => {
                    let right = tcp.calc_checksum_ipv6(source, destination).unwrap();
                    Some(tcp.checksum() == right)
                }
                Some(TransportSlice::Udp(udp)) if udp.checksum() != 0 => {
                    let header = udp.to_header();
                    let right = header.calc_checksum_ipv6_raw(source, destination, udp.payload());
                    Some(udp.checksum() == right.unwrap())
                }
                Some(TransportSlice::Icmpv6(icmp)) => {
                    Some(icmp.is_checksum_valid(source, destination))
                }
                _ => sctp,
            };
            (None, transport)
        }
        _ => (None, None),
    }
}
