//! What an agent may do, of all that root may.

use std::fs;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Agent, AgentOptions, Cni, wait_until};

use crate::{
    cluster::{Cluster, LONGEST},
    shape::two_nodes,
};

/// By their numbers in uapi/linux/capability.h.
const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_ADMIN: u64 = 1 << 12;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;
const NEEDED: u64 = NET_BIND_SERVICE | NET_ADMIN | PERFMON | BPF;

#[test]
fn an_agent_gives_up_what_it_does_not_need() -> Result<()> {
    let cluster = Cluster::up(two_nodes("privileges", Cni::Bridge, Cni::Bridge))?;
    cluster.hold(|| every_thread_has(cluster.agent("a")?, NEEDED, NEEDED))
}

#[test]
fn what_ends_sockets_is_not_in_effect_for_the_agent_itself() -> Result<()> {
    let lab = two_nodes("privileges-ends", Cni::Bridge, Cni::Bridge);
    let cluster = Cluster::up_with(lab, AgentOptions::at_sockets)?;
    cluster.hold(|| {
        let permitted = NEEDED | SYS_ADMIN | SYS_PTRACE;
        every_thread_has(cluster.agent("a")?, permitted, NEEDED)
    })
}

fn every_thread_has(agent: &Agent, permitted: u64, effective: u64) -> Result<()> {
    wait_until("the agent runs", LONGEST, || {
        Ok(agent.log().contains("agent running"))
    })?;
    let threads = fs::read_dir(format!("/proc/{}/task", agent.process_handle().pid()))?;
    let mut count = 0;
    for thread in threads {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        for (set, wanted) in [("CapPrm:\t", permitted), ("CapEff:\t", effective)] {
            let bits = status.lines().find_map(|line| line.strip_prefix(set));
            let bits = u64::from_str_radix(bits.context("no such line")?, 16)?;
            ensure!(bits == wanted, "{set}is {bits:x}, and not {wanted:x}");
        }
        count += 1;
    }
    ensure!(count > 1, "only {count} threads were looked at");
    Ok(())
}
