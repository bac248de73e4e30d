//! A node goes from kube-proxy to netproxy and back, while it is used: no connection breaks, no flow of
//! datagrams changes its endpoint, nothing new fails.
//!
//! Pods have no shared segment: without `br_netfilter`, kube-proxy does not see what a bridge switches.

use std::{
    net::{IpAddr, SocketAddr},
    thread::sleep,
    time::Duration,
};

use anyhow::{Result, ensure};
use netproxy_lab::{
    Agent, AgentOptions, Cni, ControlPlane, Lab, Load, Node, Place, Process, Serve, Traffic,
    control_plane::{ENDPOINT_SLICES, Mode, Replica},
    traffic::Steady,
    url, wait_until,
};
use serde_json::json;

use crate::cluster::LONGEST;

const CLUSTER_IPS: [&str; 2] = ["10.96.0.90", "fd10:96::90"];
const HTTP_PORT: u16 = 80;
const UDP_PORT: u16 = 53;
const NODE_HTTP: u16 = 30_090;
const NODE_UDP: u16 = 30_053;
const SERVERS_HTTP: u16 = 8080;
const SERVERS_UDP: u16 = 5353;

/// Of one request. The machine may be busy; what is lost is not answered later either.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long everything goes on between two steps: dozens of requests of every kind.
const WHILE: Duration = Duration::from_secs(2);
/// How many source ports of clients there are in each step.
const PORTS_OF_A_STEP: u16 = 9_000;
/// How long a proxy may take to end when it is told to.
const LONGEST_END: Duration = Duration::from_secs(20);

#[test]
fn a_node_goes_from_nftables_to_netproxy_and_back_without_a_loss() -> Result<()> {
    go_there_and_back("hand-over-nft", Mode::Nftables, true)
}

#[test]
fn a_node_goes_from_iptables_to_netproxy_and_back_without_a_loss() -> Result<()> {
    go_there_and_back("hand-over-ipt", Mode::Iptables, false)
}

fn go_there_and_back(name: &str, mode: Mode, at_sockets: bool) -> Result<()> {
    Lab::builder(name)
        .node("a", Cni::PointToPoint)
        .pod("shell")
        .pod("web-1")
        .node("b", Cni::PointToPoint)
        .pod("web-2")
        .client("outside")
        .run(|lab| {
            let mut ground = Ground::raise(lab, mode)?;
            take_ports(lab, 0)?;
            let through_kube_proxy = start(lab, Talks::lasting_or_all(at_sockets))?;
            sleep(WHILE);

            ground.start_agents(at_sockets)?;
            ground.stop_kube_proxies()?;
            ground.remove_rules()?;
            take_ports(lab, 1)?;
            let through_netproxy = start(lab, Talks::none_or_all(at_sockets))?;
            sleep(WHILE);

            ground.start_kube_proxies()?;
            let drains = ground.drain()?;
            take_ports(lab, 2)?;
            let after = start(lab, Talks::All)?;
            sleep(WHILE);
            through_netproxy.finish("begun through netproxy")?;
            for drain in drains {
                drain.wait(LONGEST)?;
                ensure!(drain.stdout().contains("removed"), "{}", drain.stdout());
            }
            sleep(WHILE);
            after.finish("begun after the drain")?;
            through_kube_proxy.finish("begun through the first kube-proxy")
        })
}

/// Has what begins from now on come from ports that no earlier step has used. Who comes again from the port of a
/// flow that netfilter or netproxy still has goes on with it, and a drain may have to cut it in the end.
fn take_ports(lab: &Lab, step: u16) -> Result<()> {
    let first = 32_768 + step * PORTS_OF_A_STEP;
    let others = format!("32767-{},{}-60999", first - 1, first + PORTS_OF_A_STEP);
    let setting = format!("net.ipv4.ip_local_reserved_ports={others}");
    let words = ["sysctl", "-qw", &setting];
    lab.pod("shell")?.run(&words)?;
    lab.client("outside")?.run(&words)?;
    lab.node("a")?.run(&words)?;
    Ok(())
}

/// The cluster, and who serves it.
struct Ground<'lab> {
    lab: &'lab Lab,
    control_plane: ControlPlane<'lab>,
    mode: Mode,
    kube_proxies: Vec<Process>,
    agents: Vec<Agent>,
}

impl<'lab> Ground<'lab> {
    fn raise(lab: &'lab Lab, mode: Mode) -> Result<Self> {
        let serve = Serve::new().http(SERVERS_HTTP).udp(SERVERS_UDP);
        let pods = [lab.pod("web-1")?, lab.pod("web-2")?];
        for pod in &pods {
            pod.serve(&serve)?;
        }
        let control_plane = ControlPlane::start(lab)?;
        control_plane.start_controller_manager(&[ENDPOINT_SLICES])?;
        control_plane.register_nodes()?;
        control_plane.apply(&service())?;
        control_plane.register_pods(&pods.each_ref().map(|pod| Replica::ready(pod, "web")))?;
        let mut ground = Self {
            lab,
            control_plane,
            mode,
            kube_proxies: Vec::new(),
            agents: Vec::new(),
        };
        ground.start_kube_proxies()?;
        Ok(ground)
    }

    /// Starts them, and waits until they have their rules.
    fn start_kube_proxies(&mut self) -> Result<()> {
        for node in self.lab.nodes() {
            let process = self.control_plane.start_kube_proxy(node, self.mode)?;
            self.kube_proxies.push(process);
        }
        for node in self.lab.nodes() {
            let what = format!("kube-proxy has rules on {}", node.name());
            wait_until(&what, LONGEST, || Ok(self.rules(node)? >= 2))?;
        }
        Ok(())
    }

    /// How often the rules of a node name an endpoint of the service, by family.
    fn rules(&self, node: &Node) -> Result<usize> {
        let rules = match self.mode {
            Mode::Nftables => node.run(&["nft", "list", "ruleset"])?,
            Mode::Iptables => node.run(&["iptables-save"])? + &node.run(&["ip6tables-save"])?,
        };
        let endpoint = self.lab.pod("web-2")?.addresses();
        let named = |address: IpAddr| {
            let port = SocketAddr::new(address, SERVERS_UDP).to_string();
            let port_nft = port
                .replace(['[', ']'], "")
                .replacen(&format!(":{SERVERS_UDP}"), "", 1);
            rules.contains(&port) || (self.mode == Mode::Nftables && rules.contains(&port_nft))
        };
        Ok(endpoint.both().into_iter().filter(|it| named(*it)).count())
    }

    fn stop_kube_proxies(&mut self) -> Result<()> {
        for process in self.kube_proxies.drain(..) {
            process.stop(LONGEST_END)?;
        }
        Ok(())
    }

    fn remove_rules(&self) -> Result<()> {
        for node in self.lab.nodes() {
            let said = node.netproxy(&["cleanup", "--kube-proxy"])?;
            ensure!(said.contains("removed"), "{said}");
            ensure!(self.rules(node)? == 0, "rules are left on {}", node.name());
        }
        Ok(())
    }

    /// Starts them, and waits until everything new is theirs.
    fn start_agents(&mut self, at_sockets: bool) -> Result<()> {
        let options = AgentOptions::kubernetes(self.control_plane.agent_kubeconfig());
        let options = if at_sockets {
            options.at_sockets()
        } else {
            options
        };
        for node in self.lab.nodes() {
            self.agents.push(node.start_agent(&options)?);
        }
        for agent in &self.agents {
            wait_until("the agent has everything in force", LONGEST, || {
                Ok(agent.log().contains("first sync done"))
            })?;
        }
        Ok(())
    }

    /// Stops the agents and lets what is new go to kube-proxy.
    fn drain(&mut self) -> Result<Vec<Process>> {
        for agent in self.agents.drain(..) {
            agent.stop()?;
        }
        let mut drains = Vec::new();
        for node in self.lab.nodes() {
            let drain = node.start_netproxy(&["cleanup", "--drain", "--timeout", "15s"])?;
            drain.wait_for_line("how much is left", LONGEST, |line| {
                line.contains("flows left").then_some(())
            })?;
            drains.push(drain);
        }
        Ok(drains)
    }
}

/// Which conversations are held. Not all of the host's can be: a kube-proxy that starts makes netfilter forget
/// flows of datagrams to services that it does not itself translate (pkg/proxy/conntrack/cleanup.go), and
/// takes those of the host, if a socket has not sent them straight to their endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Talks {
    None,
    /// Those that the proxy which serves them now serves to their end.
    Lasting,
    All,
}

impl Talks {
    fn lasting_or_all(at_sockets: bool) -> Self {
        if at_sockets { Self::All } else { Self::Lasting }
    }

    fn none_or_all(at_sockets: bool) -> Self {
        if at_sockets { Self::All } else { Self::None }
    }
}

/// Traffic of every kind from everywhere, none of which may fail.
fn start(lab: &Lab, of_host: Talks) -> Result<Steady> {
    let mut steady = Steady::default();
    let (shell, node) = (lab.pod("shell")?, lab.node("a")?);
    for ip in CLUSTER_IPS {
        let ip: IpAddr = ip.parse()?;
        add(&mut steady, &shell, ip, HTTP_PORT, UDP_PORT, Talks::All)?;
    }
    let ip = CLUSTER_IPS[0].parse()?;
    add(&mut steady, &node, ip, HTTP_PORT, UDP_PORT, of_host)?;
    let outside = lab.client("outside")?;
    for ip in node.internal_ips() {
        add(&mut steady, &outside, ip, NODE_HTTP, NODE_UDP, Talks::All)?;
    }
    Ok(steady)
}

/// A connection and conversations that last, and new ones all the time.
fn add(
    steady: &mut Steady,
    from: &impl Place,
    ip: IpAddr,
    http: u16,
    udp: u16,
    talks: Talks,
) -> Result<()> {
    let (url, udp) = (url(ip, http), SocketAddr::new(ip, udp));
    steady.hold(from.hold(&url)?);
    let load = Load::new(&url)
        .timeout(PATIENCE)
        .interval(Duration::from_millis(20));
    steady.load(from.load(&load)?);
    if talks != Talks::None {
        steady.talk(from.talk(udp, None, false)?);
        steady.talk(from.talk(udp, None, true)?);
    }
    if talks == Talks::All {
        steady.talk(from.talk(udp, Some(4), false)?);
    }
    Ok(())
}

fn service() -> String {
    let port = |name, protocol, port, target, node_port| {
        json!({
            "name": name,
            "protocol": protocol,
            "port": port,
            "targetPort": target,
            "nodePort": node_port,
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "type": "NodePort",
            "selector": {"app": "web"},
            "ipFamilyPolicy": "RequireDualStack",
            "clusterIP": CLUSTER_IPS[0],
            "clusterIPs": CLUSTER_IPS,
            "ports": [
                port("http", "TCP", HTTP_PORT, SERVERS_HTTP, NODE_HTTP),
                port("udp", "UDP", UDP_PORT, SERVERS_UDP, NODE_UDP),
            ],
        },
    })
    .to_string()
}
