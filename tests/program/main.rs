//! The program tier: the compiled programs as the kernel runs them, one crafted packet at a time.
//!
//! Every test opens the real datapath in a network namespace and on a BPF file system of its own,
//! fills it from model objects by way of the plan, and hands packets to the programs with
//! `BPF_PROG_TEST_RUN`. What comes out is compared byte for byte with a packet that was written
//! anew, checksums and all. Must be run as root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod adoption;
mod affinity;
mod budget;
mod choice;
mod collision;
mod consistent;
mod deadline;
mod drops;
mod edge;
mod edge_answers;
mod events;
mod expiry;
mod flow_life;
mod foreign;
mod fragments;
mod fuzz;
mod headers;
mod host;
mod hostile;
mod icmp_errors;
mod limits;
mod local_pods;
mod lost_halves;
mod malformed;
mod masquerade;
mod networks;
mod policy;
mod ports;
mod refusal;
mod refusal_form;
mod reset;
mod sctp;
mod source_ranges;
mod staleness;
mod stray_fragments;
mod succession;
mod switched;
mod too_big;
mod traffic;
mod turnover;
mod unused_address;
mod whole;
mod whole_life;
mod world;
mod xdp;
