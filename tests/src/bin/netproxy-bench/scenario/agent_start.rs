//! `agent-start`: from the start of the process until the proxy is ready, from nothing and where all is in force
//! already.

use anyhow::Result;

use super::{Pace, Scenario};
use crate::{
    arena::{Arena, deadline},
    asker::Moment,
    measurement::Sample,
    running::Running,
    system::System,
};

#[derive(Debug)]
pub(crate) struct AgentStart;

impl Scenario for AgentStart {
    fn name(&self) -> &'static str {
        "agent-start"
    }

    fn about(&self) -> &'static str {
        "From the start of the process to its health check (netproxy's /readyz, which means that all is in \
         force; kube-proxy's /healthz, which does not), to its first complete sync, and to the last frontend \
         on the wire; from nothing, and where the proxy before it has left all in force"
    }

    fn run(&self, arena: &Arena<'_>, system: System, _pace: Pace) -> Result<Vec<Sample>> {
        let last = arena
            .size
            .frontends()
            .split_off(arena.size.services as usize);
        let asker = arena.asker(system)?;

        let proxy = arena.start(system)?;
        let healthy = since_start(&proxy, proxy.await_healthy(deadline())?);
        let synced = since_start(&proxy, proxy.await_synced(deadline())?);
        asker.await_all(&last, deadline())?;
        let from_nothing = [healthy, synced];
        let cpu = proxy.cpu()?;
        proxy.stop()?;

        let proxy = arena.start(system)?;
        let healthy = since_start(&proxy, proxy.await_healthy(deadline())?);
        let synced = since_start(&proxy, proxy.await_synced(deadline())?);
        asker.await_all(&last, deadline())?;
        let again = proxy.cpu()?;
        Ok(vec![
            Sample::new("from nothing to healthy", "s", from_nothing[0]),
            Sample::new("from nothing to synced", "s", from_nothing[1]),
            Sample::new(
                "from nothing, CPU",
                "s",
                (cpu.user + cpu.system).as_secs_f64(),
            ),
            Sample::new("in force to healthy", "s", healthy),
            Sample::new("in force to synced", "s", synced),
            Sample::new(
                "in force, CPU",
                "s",
                (again.user + again.system).as_secs_f64(),
            ),
        ])
    }
}

fn since_start(proxy: &Running, moment: Moment) -> f64 {
    moment.at.duration_since(proxy.started.at).as_secs_f64()
}
