//! The rules bite: what a broken program might make of a packet is found out. No program is run.

use std::net::SocketAddr;

use netproxy_common::FlowKind;

use super::gate::Gate;
use super::model::{Client, Half, Model, frontends, protocol};
use super::oracle::{Case, Fate, judge};
use super::reading::{ETHERNET, Reading, Tuple, fill_in};
use crate::world::{At as _, Context, Flavour, POD_PORT, Packet};

const NEXT: i32 = -1;
const SHOT: i32 = 2;
const REDIRECT: i32 = 7;

const ETH0_INGRESS: Gate = Gate {
    device: "eth0",
    is_ingress: true,
    has_link_layer: true,
    ifindex: 3,
    pod: None,
};
const ETH0_EGRESS: Gate = Gate {
    is_ingress: false,
    ..ETH0_INGRESS
};

/// Judges what became of a packet, where there is a flow of an outside client to an endpoint here.
fn judged(gate: &Gate, input: &[u8], code: i32, output: &[u8]) -> Result<Fate, String> {
    judged_after(gate, &[], input, code, output)
}

/// As `judged`, after packets that came out so and passed.
fn judged_after(
    gate: &Gate,
    before: &[(Vec<u8>, Vec<u8>)],
    input: &[u8],
    code: i32,
    output: &[u8],
) -> Result<Fate, String> {
    let mut model = Model::new();
    for flavour in Flavour::ALL {
        let (client, frontend, endpoint) = parts(flavour);
        let tuple = |source, destination| Tuple {
            source,
            destination,
            protocol: protocol(flavour),
        };
        let forward = Half {
            to: tuple(client, endpoint),
            kind: FlowKind::Edge,
            is_reply: false,
            client: Client {
                ifindex: gate.ifindex,
                is_outside: true,
                may_have_moved: false,
            },
            is_switched: false,
            is_ending: false,
        };
        model.flows.open(tuple(client, frontend), forward)?;
    }
    let context = Context {
        came_in_by: gate.ifindex,
        ..Context::default()
    };
    let case = |input| Case {
        gate,
        context,
        came_in_by_bridge: false,
        input,
    };
    for (input, output) in before {
        judge(&mut model, &case(input), NEXT, output)?;
    }
    judge(&mut model, &case(input), code, output)
}

/// The flow's client, frontend and endpoint.
fn parts(flavour: Flavour) -> (SocketAddr, SocketAddr, SocketAddr) {
    (
        flavour.outside().at(40_000),
        frontends(flavour, 1)[2],
        flavour.local_pod(1).at(POD_PORT),
    )
}

/// A packet of that flow, and what becomes of it.
fn sound(flavour: Flavour) -> (Packet, Packet) {
    let (client, frontend, endpoint) = parts(flavour);
    let before = flavour.later(client, frontend);
    (before.clone(), before.to(endpoint))
}

#[test]
fn a_translation_that_is_right_breaks_no_rule() {
    for flavour in Flavour::ALL {
        let (before, after) = sound(flavour);

        let judged = judged(&ETH0_INGRESS, &before.bytes(), NEXT, &after.bytes());

        assert_eq!(judged, Ok(Fate::Forward(FlowKind::Edge)));
    }
}

#[test]
fn a_checksum_that_is_broken_or_repaired_is_found_out() {
    for flavour in Flavour::ALL {
        let (before, after) = sound(flavour);
        let (before, after) = (before.bytes(), after.bytes());
        let checksum = Reading::of(&before, ETHERNET)
            .unwrap()
            .checksum()
            .unwrap()
            .start;
        let broken = |bytes: &[u8], at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            bytes
        };
        let last = before.len() - 1;
        let mut right_again = broken(&after, last);
        fill_in(&mut right_again, ETHERNET);

        let of_transport = judged(&ETH0_INGRESS, &before, NEXT, &broken(&after, checksum));
        let repaired = judged(&ETH0_INGRESS, &broken(&before, last), NEXT, &right_again);
        let kept = judged(
            &ETH0_INGRESS,
            &broken(&before, last),
            NEXT,
            &broken(&after, last),
        );

        assert!(of_transport.unwrap_err().contains("transport checksum"));
        assert!(repaired.unwrap_err().contains("transport checksum"));
        assert!(kept.is_ok());
        if flavour.node().is_ipv4() {
            let of_header = judged(&ETH0_INGRESS, &before, NEXT, &broken(&after, ETHERNET + 10));
            assert!(of_header.unwrap_err().contains("header checksum"));
        }
    }
}

#[test]
fn a_change_of_anything_else_is_found_out() {
    for flavour in Flavour::ALL {
        let (before, after) = sound(flavour);
        let (before, after) = (before.bytes(), after.bytes());
        // Source MAC, class of service, the last byte of data; sums are done again.
        for at in [8, ETHERNET + 1, before.len() - 1] {
            let mut changed = after.clone();
            changed[at] ^= 1;
            fill_in(&mut changed, ETHERNET);

            let judged = judged(&ETH0_INGRESS, &before, NEXT, &changed);

            assert!(judged.is_err(), "byte {at} of {flavour:?}");
        }
        assert!(judged(&ETH0_INGRESS, &before, NEXT, &after[..after.len() - 1]).is_err());
    }
}

#[test]
fn another_endpoint_another_hop_or_another_verdict_is_found_out() {
    for flavour in Flavour::ALL {
        let (before, after) = sound(flavour);
        let bytes = before.bytes();
        let other = after.clone().to(flavour.local_pod(2).at(POD_PORT));

        for (code, wrong) in [
            (NEXT, other.bytes()),
            (NEXT, after.clone().ttl(63).bytes()),
            (REDIRECT, after.bytes()),
            (REDIRECT, after.clone().ttl(63).bytes()),
            (0, after.bytes()),
        ] {
            let judged = judged(&ETH0_INGRESS, &bytes, code, &wrong);

            assert!(judged.is_err(), "{code} {flavour:?}");
        }
    }
}

#[test]
fn a_spoof_that_is_translated_is_found_out() {
    for flavour in Flavour::ALL {
        let (client, frontend, endpoint) = parts(flavour);
        let (before, after) = sound(flavour);
        let answer = flavour.later(endpoint, client);
        let pretended = flavour.later(endpoint, client.ip().at(40_001));

        let elsewhere = judged(&ETH0_EGRESS, &before.bytes(), NEXT, &after.bytes());
        let too_early = judged(
            &ETH0_INGRESS,
            &answer.bytes(),
            NEXT,
            &answer.clone().from(frontend).bytes(),
        );
        let of_no_flow = judged(
            &ETH0_EGRESS,
            &pretended.bytes(),
            NEXT,
            &pretended.clone().from(frontend).bytes(),
        );
        let where_it_belongs = judged(
            &ETH0_EGRESS,
            &answer.bytes(),
            NEXT,
            &answer.clone().from(frontend).bytes(),
        );

        assert!(elsewhere.is_err());
        assert!(too_early.is_err());
        assert!(of_no_flow.is_err());
        assert_eq!(where_it_belongs, Ok(Fate::Reply(FlowKind::Edge)));
    }
}

#[test]
fn a_stray_that_does_not_just_pass_is_found_out() {
    for flavour in Flavour::ALL {
        let (client, _, endpoint) = parts(flavour);
        let stray = flavour.first(client, flavour.remote_pod(0x4001).at(80));
        let translated = stray.clone().to(endpoint).bytes();
        let stray = stray.bytes();

        assert!(judged(&ETH0_INGRESS, &stray, SHOT, &stray).is_err());
        assert!(judged(&ETH0_INGRESS, &stray, REDIRECT, &stray).is_err());
        assert!(judged(&ETH0_INGRESS, &stray, NEXT, &translated).is_err());
        assert_eq!(
            judged(&ETH0_INGRESS, &stray, NEXT, &stray),
            Ok(Fate::Passed)
        );
    }
}

/// The first one in pieces, and what follows it.
#[test]
fn a_fragment_that_follows_none_is_found_out() {
    const BYTES: usize = 400;
    for flavour in Flavour::IN_PIECES {
        let (before, after) = sound(flavour);
        let data = vec![7; 2 * BYTES];
        let pieces = |packet: Packet| packet.payload(&data).pieces(BYTES);
        let (before, after) = (pieces(before), pieces(after));
        let [first, follower] =
            [0, 1].map(|number| (Vec::from(&before[number]), Vec::from(&after[number])));

        let alone = judged(&ETH0_INGRESS, &follower.0, NEXT, &follower.1);
        let passed = judged(&ETH0_INGRESS, &follower.0, NEXT, &follower.0);
        let dropped = judged(&ETH0_INGRESS, &follower.0, SHOT, &follower.0);
        let in_order = judged_after(&ETH0_INGRESS, &[first], &follower.0, NEXT, &follower.1);

        assert!(alone.unwrap_err().contains("follows none"));
        assert!(passed.unwrap_err().contains("follows none"));
        assert_eq!(dropped, Ok(Fate::Dropped));
        assert_eq!(in_order, Ok(Fate::TranslatedPiece));
    }
}
