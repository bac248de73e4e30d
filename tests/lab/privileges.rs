//! What an agent may do, of all that root may.

use std::fs;

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Agent, AgentOptions, Cni, Place, binary, wait_until};

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

#[test]
fn a_packet_is_traced_with_what_the_agents_container_has() -> Result<()> {
    let cluster = Cluster::up(two_nodes(
        "privileges-trace",
        Cni::PointToPoint,
        Cni::Bridge,
    ))?;
    cluster.hold(|| {
        let node = cluster.lab.node("a")?;
        wait_until("the agent runs", LONGEST, || {
            Ok(cluster.agent("a")?.log().contains("agent running"))
        })?;
        let netproxy = binary::find("netproxy")?;
        let netproxy = netproxy.to_str().context("the path is UTF-8")?;
        let bpffs = node.bpffs().to_str().context("the path is UTF-8")?;
        let from = cluster.lab.pod("shell")?.ipv4().to_string();
        let trace = |granted: &str| {
            let bounding = format!("--bounding-set=-all{granted}");
            let words = [
                "setpriv",
                &bounding,
                "--inh-caps=-all",
                "--no-new-privs",
                netproxy,
            ];
            let asked = ["trace", &from, "10.96.0.77:80", "--bpffs", bpffs];
            node.run(&[&words[..], &asked].concat())
        };

        // As `deploy/helm/netproxy` has it without `terminateUdp`, which asks for the fewest.
        let told = trace(",+bpf,+net_admin,+perfmon")?;
        ensure!(told.contains("passes untouched"), "{told}");
        let error = trace(",+net_admin,+perfmon")
            .err()
            .context("it may be done by anybody")?;
        ensure!(error.to_string().contains("CAP_BPF is missing"), "{error}");
        Ok(())
    })
}
