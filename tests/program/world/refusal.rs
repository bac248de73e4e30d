//! What an ICMP error must look like that refuses a packet.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::checksums_hold;

const ETHERNET: usize = 14;
/// As many bytes of the transport are quoted at least (RFC 792).
const QUOTED: usize = 8;

/// `output` tells the sender of `input` that the port is unreachable, at the address it asked for.
#[track_caller]
pub(super) fn answers(input: &[u8], output: &[u8], has_link_layer: bool) {
    let link = if has_link_layer { ETHERNET } else { 0 };
    if has_link_layer {
        assert_eq!(
            output[..6],
            input[6..12],
            "goes to whom the frame came from"
        );
        assert_eq!(
            output[6..12],
            input[..6],
            "comes from whom the frame was for"
        );
    }
    let (input, output) = (&input[link..], &output[link..]);
    let (header, transport) = checksums_hold(output);
    assert!(
        header != Some(false) && transport == Some(true),
        "checksums are right"
    );
    let asked = SlicedPacket::from_ip(input).unwrap();
    let error = SlicedPacket::from_ip(output).unwrap();
    let headers = match (asked.net.unwrap(), error.net.unwrap()) {
        (NetSlice::Ipv4(asked), NetSlice::Ipv4(error)) => {
            let (asked, error) = (asked.header(), error.header());
            assert_eq!(error.source_addr(), asked.destination_addr());
            assert_eq!(error.destination_addr(), asked.source_addr());
            assert_eq!(usize::from(error.total_len()), output.len());
            asked.slice().len()
        }
        (NetSlice::Ipv6(asked), NetSlice::Ipv6(error)) => {
            assert_eq!(
                error.header().source_addr(),
                asked.header().destination_addr()
            );
            assert_eq!(
                error.header().destination_addr(),
                asked.header().source_addr()
            );
            assert_eq!(
                usize::from(error.header().payload_length()) + 40,
                output.len()
            );
            asked.header().slice().len() + asked.extensions().slice().len()
        }
        other => panic!("one family in, another out: {other:?}"),
    };
    let quote = match error.transport.unwrap() {
        TransportSlice::Icmpv4(icmp) => {
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (3, 3));
            icmp.payload()
        }
        TransportSlice::Icmpv6(icmp) => {
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (1, 4));
            icmp.payload()
        }
        other => panic!("no ICMP: {other:?}"),
    };
    assert!(
        quote.len() >= headers + QUOTED,
        "enough is quoted to find the socket"
    );
    assert_eq!(quote, &input[..quote.len()]);
}
