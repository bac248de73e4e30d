//! How the lab handles an agent, shown on a program that only says how it was called.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use netproxy_lab::{AgentOptions, Cni, Lab, Place, wait_until};

const LONGEST: Duration = Duration::from_secs(5);

/// Prints its arguments and environment, and goes on.
fn stand_in(lab: &Lab) -> Result<PathBuf> {
    let path = lab.directory().join("stand-in");
    fs::write(&path, "#!/bin/sh\necho \"$@\" \"$LEVEL\"\nexec sleep 600\n")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

#[test]
fn an_agent_is_told_its_nodes_name_bpffs_and_cgroup() -> Result<()> {
    Lab::builder("agent-told")
        .node("a", Cni::Bridge)
        .run(|lab| {
            let node = lab.node("a")?;
            let (bpffs, cgroup) = (node.bpffs().display(), node.cgroup().display());
            let options = AgentOptions::manifests(lab.directory())
                .binary(stand_in(lab)?)
                .argument("--masquerade-all")
                .environment("LEVEL", "debug");
            let agent = node.start_agent(&options)?;
            let wanted = format!(
                "run --node-name a --source manifests:{} --bpffs {bpffs} --cgroup {cgroup} \
             --socket-balancing off --masquerade-all debug\n",
                lab.directory().display()
            );
            wait_until("the agent says how it was called", LONGEST, || {
                Ok(agent.log() == wanted)
            })
        })
}

#[test]
fn an_agent_ends_and_starts_again_as_told() -> Result<()> {
    Lab::builder("agent-again")
        .node("a", Cni::Bridge)
        .run(|lab| {
            let node = lab.node("a")?;
            let kubeconfig = lab.directory().join("kubeconfig");
            let options = AgentOptions::kubernetes(&kubeconfig).binary(stand_in(lab)?);
            let agent = node.start_agent(&options)?;
            ensure!(agent.is_running());
            agent.kill9()?;
            ensure!(!agent.is_running());
            ensure!(agent.kill9().is_err(), "a dead agent was killed");

            agent.restart()?;
            let wanted = format!("--source kubernetes --kubeconfig {} ", kubeconfig.display());
            wait_until("the new agent is there", LONGEST, || {
                Ok(agent.log().contains(&wanted))
            })?;
            let first = agent.process_handle().pid();
            agent.restart()?;
            ensure!(agent.is_running() && agent.process_handle().pid() != first);
            agent.stop()?;
            ensure!(!agent.is_running());
            Ok(())
        })
}
