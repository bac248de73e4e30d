//! Agents that are replaced.

use anyhow::{Context, Result, ensure};
use netproxy::datapath::{Pins, SocketHook, SocketLink};
use netproxy_lab::{Node, wait_until};

use super::shop;
use crate::{cluster::LONGEST, restart::no_request_fails, shop::is};

#[test]
fn no_request_of_a_socket_fails_while_agents_are_killed_and_restarted() -> Result<()> {
    let shop = shop("killed-sockets")?;
    shop.cluster.hold(|| no_request_fails(&shop))
}

#[test]
fn a_new_agent_puts_its_programs_in_place_of_the_old_ones_in_the_same_links() -> Result<()> {
    let shop = shop("upgrade")?;
    shop.cluster.hold(|| {
        let (node, agent) = (shop.node("a")?, shop.cluster.agent("a")?);
        let before = links(&node)?;

        agent.kill9()?;
        let without_agent = links(&node)?;
        agent.restart()?;
        wait_until("the new agent has taken over", LONGEST, || {
            Ok(agent.log().contains("agent running"))
        })?;

        is("the links of no agent", &without_agent, &before)?;
        for (old, new) in before.iter().zip(links(&node)?) {
            ensure!(
                (old.id, old.cgroup) == (new.id, new.cgroup) && old.program != new.program,
                "{old:?} became {new:?}"
            );
        }
        Ok(())
    })
}

/// The links of all hooks.
fn links(node: &Node) -> Result<Vec<SocketLink>> {
    let hooks = SocketHook::all(&Pins::new(node.bpffs()))?.context("nothing is attached")?;
    let link = |hook: SocketHook| {
        hook.link
            .with_context(|| format!("no link at {}", hook.name))
    };
    hooks.into_iter().map(link).collect()
}
