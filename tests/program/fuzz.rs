//! Hostile packets by the million, at every program that handles packets: requests, packets of live flows
//! and of dead ones, near misses, ICMP errors, fragments, other protocols and noise, with options, lies
//! and bit flips. What became of each is judged by rules that know nothing of the programs (`oracle.rs`).
//! What a run finds becomes a test of its own in `hostile.rs`, or next to its kind.
//!
//! The programs at sockets cannot be run on crafted calls (`BPF_PROG_TEST_RUN` knows no such context):
//! they are left to the lab.

mod campaign;
mod coverage;
mod gate;
mod generate;
mod model;
mod oracle;
mod reading;
mod rules;

use std::env;

use self::campaign::{Campaign, say};

/// How many packets of each seed every run of the tests hands in.
const PACKETS: u64 = 300_000;

/// Options of `at_length`, which `cargo xtask fuzz` sets.
const LENGTH: &str = "NETPROXY_FUZZ_PACKETS";
const SEED: &str = "NETPROXY_FUZZ_SEED";
const REPLAY: &str = "NETPROXY_FUZZ_REPLAY";

#[track_caller]
fn run(seed: u64, packets: u64) {
    say(&format!("fuzzing with {packets} packets of seed {seed}\n"));
    let mut campaign = Campaign::new(seed);
    if let Err(finding) = campaign.run(packets) {
        panic!("{finding}");
    }
    say(&campaign.coverage().table());
    let missing = campaign.coverage().missing();
    assert!(missing.is_empty(), "never occurred: {missing:#?}");
}

fn option(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}

#[test]
fn no_rule_is_broken_by_packets_that_are_always_the_same() {
    run(1, PACKETS);
}

#[test]
fn no_rule_is_broken_by_packets_that_were_never_there_before() {
    run(fastrand::u64(..), PACKETS);
}

#[test]
#[ignore = "runs as long as it is told to: cargo xtask fuzz"]
fn at_length() {
    let seed = option(SEED).unwrap_or_else(|| fastrand::u64(..));
    match option(REPLAY) {
        Some(number) => {
            if let Err(finding) = Campaign::new(seed).replay(number) {
                panic!("{finding}");
            }
        }
        None => run(seed, option(LENGTH).unwrap_or(10_000_000)),
    }
}
