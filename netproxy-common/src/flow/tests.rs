//! How the halves of a flow lead to each other, for any flow.

use proptest::prelude::*;

use super::{Flow, FlowFlags, FlowKey};
use crate::address::Address;
use crate::{Be16, Ipv4, Ipv6};

fn v4() -> impl Strategy<Value = Ipv4> {
    any::<[u8; 4]>().prop_map(Ipv4::new)
}

fn v6() -> impl Strategy<Value = Ipv6> {
    any::<[u8; 16]>().prop_map(Ipv6::new)
}

fn port() -> impl Strategy<Value = Be16> {
    any::<u16>().prop_map(Be16::new)
}

/// A half: its key, and what is under it.
fn half<A: Address, S: Strategy<Value = A>>(
    address: fn() -> S,
) -> impl Strategy<Value = (FlowKey<A>, Flow<A>)> {
    let ends = || (address(), address(), port(), port());
    (
        ends(),
        ends(),
        any::<(u8, u8, u8, u8, u32, u32, u32, u32)>(),
    )
        .prop_map(|(key, to, rest)| {
            let (protocol, kind, flags, state, service, generation, deadline_s, client_ifindex) =
                rest;
            let key = FlowKey {
                source: key.0,
                destination: key.1,
                source_port: key.2,
                destination_port: key.3,
                protocol,
                pad: [0; 3],
            };
            let flow = Flow {
                source: to.0,
                destination: to.1,
                source_port: to.2,
                destination_port: to.3,
                kind,
                flags,
                state,
                pad: [0; _],
                service,
                generation,
                deadline_s,
                client_ifindex,
            };
            (key, flow)
        })
}

/// What holds for every half.
fn leads_back<A: Address>((key, flow): (FlowKey<A>, Flow<A>)) -> Result<(), TestCaseError> {
    let mut partner_key = key;
    partner_key.turn_to_partner(&flow);
    let mut partner = flow;
    partner.turn_to_partner(&key);

    // What answers a translated packet is under the partner's key, and becomes what answers the packet.
    prop_assert_eq!(partner_key, flow.translated(key.protocol).reversed());
    prop_assert_eq!(partner_key, flow.partner_key(&key));
    prop_assert_eq!(partner.translated(key.protocol), key.reversed());
    prop_assert_eq!(partner_key.protocol, key.protocol);
    // One of the two is the answer, and nothing has been seen of the new one.
    prop_assert_ne!(partner.has(FlowFlags::REPLY), flow.has(FlowFlags::REPLY));
    prop_assert!(!partner.has(FlowFlags::SEEN | FlowFlags::CLOSED));

    // And back again, but for what one half has seen.
    let mut again_key = partner_key;
    again_key.turn_to_partner(&partner);
    let mut again = partner;
    again.turn_to_partner(&partner_key);
    prop_assert_eq!(again_key, key);
    let of_both = flow.flags & (FlowFlags::REPLY | FlowFlags::SWITCHED);
    prop_assert_eq!(
        again,
        Flow {
            flags: of_both,
            ..flow
        }
    );
    Ok(())
}

fn survives_the_wire<A: Address>(address: A) -> Result<(), TestCaseError> {
    prop_assert_eq!(A::from_wire(address.to_wire()), address);
    Ok(())
}

proptest! {
    #[test]
    fn the_halves_of_an_ipv4_flow_lead_to_each_other(half in half(v4)) {
        leads_back(half)?;
    }

    #[test]
    fn the_halves_of_an_ipv6_flow_lead_to_each_other(half in half(v6)) {
        leads_back(half)?;
    }

    #[test]
    fn an_address_stands_in_a_packet_as_in_memory(v4 in v4(), v6 in v6()) {
        survives_the_wire(v4)?;
        survives_the_wire(v6)?;
    }

    #[test]
    fn two_ipv6_addresses_are_equal_if_their_bytes_are(
        one in any::<[u8; 16]>(),
        at in 0..16_usize,
        bits in any::<u8>(),
    ) {
        let mut other = one;
        other[at] ^= bits;

        prop_assert_eq!(Ipv6::new(one) == Ipv6::new(other), bits == 0);
    }

    #[test]
    fn ports_are_ordered_by_value(one in any::<u16>(), other in any::<u16>()) {
        prop_assert_eq!(Be16::new(one).cmp(&Be16::new(other)), one.cmp(&other));
        prop_assert_eq!(Be16::new(one).get(), one);
    }
}
