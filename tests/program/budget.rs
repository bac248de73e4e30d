//! What it costs to load the programs: the verifier walks them for most of the agent's start, and
//! refuses what takes it more than a million instructions.

use std::io::{Write as _, stderr};
use std::path::Path;
use std::time::Instant;

use aya::programs::{Program, ProgramInfo};
use aya::{Btf, Ebpf, EbpfLoader};

/// The most instructions that the verifier may walk, in thousands. What comes near is to be made
/// cheaper (`separate.rs`), not given more.
const MOST_THOUSANDS: [(&str, u32); 18] = [
    ("connect4", 20),
    ("connect6", 40),
    ("sendmsg4", 50),
    ("sendmsg6", 80),
    ("recvmsg4", 2),
    ("recvmsg6", 4),
    ("getpeername4", 1),
    ("getpeername6", 1),
    ("stale_sockets", 16),
    ("tell_connections", 1),
    ("tell_talks", 1),
    ("give_connections", 1),
    ("give_talks", 1),
    ("tc_ingress", 100),
    ("tc_ingress_l3", 100),
    ("tc_egress", 100),
    ("tc_egress_l3", 100),
    ("xdp_ingress", 100),
];

#[test]
fn every_program_is_verified_within_its_budget() {
    // With everything on that may be off, or the verifier would leave it out.
    let on = 1_u32;
    let mut loader = EbpfLoader::new();
    for name in [
        "LOOPBACK_NODE_PORTS",
        "SOCKET_OPT_OUT",
        "TERMINATES_UDP",
        "TERMINATES_TCP",
    ] {
        loader.override_global(name, &on, true);
    }
    let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ebpf/netproxy-ebpf");
    let mut ebpf = loader.load_file(object).unwrap();
    let all: Vec<_> = ebpf.programs().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(all.len(), MOST_THOUSANDS.len(), "{all:?}");
    let mut beyond = Vec::new();
    for (name, most) in MOST_THOUSANDS {
        let began = Instant::now();
        let info = load(&mut ebpf, name);
        let took = began.elapsed();
        let walked = info.verified_instruction_count().expect("Linux 5.16");
        // Not by a macro: what those print of a test that passes is not shown.
        let line = format!("{name:<16} {walked:>8} instructions walked in {took:.0?}\n");
        stderr().write_all(line.as_bytes()).unwrap();
        if walked > most * 1000 {
            beyond.push(format!("{name}: {walked} of {most} 000"));
        }
    }
    assert!(beyond.is_empty(), "{beyond:?}");
}

fn load(ebpf: &mut Ebpf, name: &str) -> ProgramInfo {
    match ebpf.program_mut(name).unwrap() {
        Program::SchedClassifier(program) => {
            program.load().unwrap();
            program.info().unwrap()
        }
        Program::CgroupSockAddr(program) => {
            program.load().unwrap();
            program.info().unwrap()
        }
        Program::Xdp(program) => {
            program.load().unwrap();
            program.info().unwrap()
        }
        Program::Iter(program) => {
            let btf = Btf::from_sys_fs().unwrap();
            program.load("bpf_sk_storage_map", &btf).unwrap();
            program.info().unwrap()
        }
        other => panic!("{name} is of a kind that is not loaded here: {other:?}"),
    }
}
