//! netproxy's agents in its lab.

use anyhow::Result;
use netproxy_lab::{Agent, AgentOptions, ControlPlane, Lab, Node, control_plane::APISERVER_PORT};

/// An agent on every node.
#[derive(Debug)]
pub(crate) struct Agents {
    options: AgentOptions,
    running: Vec<Agent>,
    at_sockets: bool,
}

impl Agents {
    /// Starts them, with objects from the API server of the `other` lab.
    pub(crate) fn start(lab: &Lab, other: &Lab, control_plane: &ControlPlane<'_>) -> Result<Self> {
        make_way(lab, other)?;
        let options = AgentOptions::kubernetes(control_plane.agent_kubeconfig());
        Ok(Self {
            running: start_all(lab, &options)?,
            options,
            at_sockets: false,
        })
    }

    /// Makes them balance at the socket, or not: replaces them, unless they do.
    pub(crate) fn balance_at_sockets(&mut self, lab: &Lab, at_sockets: bool) -> Result<()> {
        if self.at_sockets == at_sockets {
            return Ok(());
        }
        for agent in &self.running {
            agent.stop()?;
        }
        let options = self.options.clone();
        let options = if at_sockets {
            options.at_sockets()
        } else {
            options
        };
        self.running = start_all(lab, &options)?;
        self.at_sockets = at_sockets;
        Ok(())
    }
}

fn start_all(lab: &Lab, options: &AgentOptions) -> Result<Vec<Agent>> {
    let start = |node: &Node| node.start_agent(options);
    lab.nodes().iter().map(start).collect()
}

/// Makes the API server of the `other` lab be, to the nodes of this one, where that of their own would
/// be.
fn make_way(lab: &Lab, other: &Lab) -> Result<()> {
    let (fabric, other) = (lab.fabric(), other.fabric());
    let peer = fabric.namespace().name();
    other.ip(&format!(
        "link add twin type veth peer name twin netns {peer}\n\
         addr add 192.0.2.1/30 dev twin\n\
         link set twin up"
    ))?;
    fabric.ip("addr add 192.0.2.2/30 dev twin\nlink set twin up")?;
    let own = fabric.ipv4();
    let ruleset = format!(
        "table ip twin {{\
           chain to {{ type nat hook prerouting priority dstnat;\
             ip daddr {own} tcp dport {APISERVER_PORT} dnat to 192.0.2.1; }};\
           chain from {{ type nat hook postrouting priority srcnat;\
             ip daddr 192.0.2.1 masquerade; }};\
         }}"
    );
    fabric.run(&["nft", &ruleset])?;
    Ok(())
}
