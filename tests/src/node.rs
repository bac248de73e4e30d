//! A node: its place on the underlay, its pods, its bpffs.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount, umount};

use crate::{
    Addresses, Cni, Place, Pod,
    addresses::{self, CLUSTER_V4, CLUSTER_V6, MOST_PODS, PodCidrs},
    cni::NodePlan,
    fabric::Fabric,
    journal::Journal,
    orders,
    place::{Site, check_name},
};

/// How strictly a node checks that a packet came from where its source is routed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RpFilter {
    /// 0.
    Off,
    /// 1: the kernel's own advice, and the lab's default.
    #[default]
    Strict,
    /// 2: what systemd sets.
    Loose,
}

/// What a node is to be like.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    cni: Cni,
    rp_filter: RpFilter,
    has_masquerade: bool,
    bridge_netfilter: Option<bool>,
    has_second_nic: bool,
}

impl From<Cni> for NodeSpec {
    fn from(cni: Cni) -> Self {
        Self {
            cni,
            rp_filter: RpFilter::default(),
            // flannel ships with it, and would not work without: what a pod sends to another node's
            // own address leaves past the tunnel, and the answer would come back through it.
            has_masquerade: cni == Cni::Vxlan,
            bridge_netfilter: None,
            has_second_nic: false,
        }
    }
}

impl NodeSpec {
    /// A node with pods in this shape.
    #[must_use]
    pub fn new(cni: Cni) -> Self {
        cni.into()
    }

    /// How strictly sources are checked, on all devices.
    #[must_use]
    pub fn rp_filter(mut self, rp_filter: RpFilter) -> Self {
        self.rp_filter = rp_filter;
        self
    }

    /// Whether what pods send to others than pods leaves with the node's address. Unless told, it
    /// does on [`Cni::Vxlan`] nodes only.
    #[must_use]
    pub fn masquerade(mut self, is_on: bool) -> Self {
        self.has_masquerade = is_on;
        self
    }

    /// Whether netfilter sees what bridges switch. Left alone, it is the kernel's default: yes where
    /// the module `br_netfilter` is loaded.
    #[must_use]
    pub fn bridge_netfilter(mut self, is_on: bool) -> Self {
        self.bridge_netfilter = Some(is_on);
        self
    }

    /// Gives it an `eth1` beside `eth0`, with a network and a routing table of its own. Reverse path
    /// filters must not be strict then.
    #[must_use]
    pub fn second_nic(mut self) -> Self {
        self.has_second_nic = true;
        self
    }

    pub(crate) fn cni(&self) -> Cni {
        self.cni
    }
}

/// A node. Clones are handles to the same one. Programs started in it are what `hostNetwork` pods are.
#[derive(Clone, Debug)]
pub struct Node {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    site: Site,
    plan: NodePlan,
    bpffs: PathBuf,
    pods: Mutex<Vec<Pod>>,
}

impl Node {
    pub(crate) fn create(
        journal: &Arc<Journal>,
        fabric: &Fabric,
        name: &str,
        spec: &NodeSpec,
        plan: NodePlan,
        cgroup: PathBuf,
    ) -> Result<Self> {
        let site = Site::create(journal, "node", name, plan.addresses, cgroup)?;
        set_forwarding(&site, spec)?;
        let bpffs = journal.run_dir().path().join(name).join("bpf");
        mount_bpffs(&bpffs)?;
        let node = Self {
            parts: Arc::new(Parts {
                site,
                plan,
                bpffs,
                pods: Mutex::default(),
            }),
        };
        fabric.plug(&node)?;
        if spec.has_second_nic {
            fabric.plug_second(&node, node.second_nic())?;
        }
        fabric.route_pods(&node.parts.plan)?;
        node.ip(&spec.cni.node(&node.parts.plan))?;
        if spec.has_masquerade {
            node.masquerade()?;
        }
        Ok(node)
    }

    /// The ways to the pods of the other nodes.
    pub(crate) fn meet(&self, nodes: &[NodePlan]) -> Result<()> {
        let Parts { plan, .. } = &*self.parts;
        let others = || nodes.iter().filter(|other| other.number != plan.number);
        let routes: Vec<_> = others().map(|peer| plan.cni.peer(peer)).collect();
        if !routes.is_empty() {
            self.ip(&routes.join("\n"))?;
        }
        let forwarding: Vec<_> = others()
            .filter_map(|peer| plan.cni.peer_forwarding(peer))
            .collect();
        if forwarding.is_empty() {
            return Ok(());
        }
        orders::ip(self.command("bridge".as_ref())?, &forwarding.join("\n"))
    }

    /// Makes another pod, at any time.
    ///
    /// # Errors
    /// When the name is taken, the node is full, or the kernel refuses.
    pub fn add_pod(&self, name: &str) -> Result<Pod> {
        self.add_pod_with(name, None)
    }

    /// The same, of a pod that an API server has given this UID to.
    ///
    /// # Errors
    /// As [`Node::add_pod`].
    pub fn add_pod_of_uid(&self, name: &str, uid: &str) -> Result<Pod> {
        self.add_pod_with(name, Some(uid))
    }

    fn add_pod_with(&self, name: &str, uid: Option<&str>) -> Result<Pod> {
        check_name(name)?;
        let mut pods = self.locked_pods();
        let number = u8::try_from(pods.len() + 1)
            .ok()
            .filter(|&number| number <= MOST_PODS);
        let number = number.with_context(|| format!("the node {} is full", self.name()))?;
        let pod = Pod::create(self, &self.parts.plan, name, number, uid)
            .with_context(|| format!("the pod {name} cannot be made"))?;
        pods.push(pod.clone());
        Ok(pod)
    }

    /// Its pods.
    #[must_use]
    pub fn pods(&self) -> Vec<Pod> {
        self.locked_pods().clone()
    }

    /// The shape of its pod network.
    #[must_use]
    pub fn cni(&self) -> Cni {
        self.parts.plan.cni
    }

    /// Where its pods' addresses come from.
    #[must_use]
    pub fn pod_cidrs(&self) -> PodCidrs {
        self.parts.plan.pods
    }

    /// Its own instance of the BPF file system.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        &self.parts.bpffs
    }

    /// Takes away what is pinned in its BPF file system, as a reboot does: programs, links and maps.
    ///
    /// # Errors
    /// When somebody is inside.
    pub fn lose_pins(&self) -> Result<()> {
        let at = self.bpffs();
        umount(at).with_context(|| format!("bpffs cannot be unmounted from {}", at.display()))?;
        mount_bpffs(at)
    }

    /// Its `InternalIP`s, IPv4 first.
    #[must_use]
    pub fn internal_ips(&self) -> [IpAddr; 2] {
        self.addresses().both()
    }

    /// The addresses of its second NIC, if it has one.
    #[must_use]
    pub fn second_nic(&self) -> Addresses {
        addresses::of_second_nic(self.parts.plan.number)
    }

    /// Loads an nftables ruleset, on top of what there is.
    ///
    /// # Errors
    /// When nft refuses it.
    pub fn nft(&self, ruleset: &str) -> Result<()> {
        orders::nft(self.command("nft".as_ref())?, ruleset).with_context(|| self.name().to_owned())
    }

    fn masquerade(&self) -> Result<()> {
        let PodCidrs { v4, v6 } = self.parts.plan.pods;
        self.nft(&format!(
            "table inet cni {{\n\
               chain postrouting {{\n\
                 type nat hook postrouting priority srcnat;\n\
                 ip saddr {v4} ip daddr != {{ {CLUSTER_V4}, 224.0.0.0/4 }} masquerade\n\
                 ip6 saddr {v6} ip6 daddr != {{ {CLUSTER_V6}, ff00::/8 }} masquerade\n\
               }}\n\
             }}\n"
        ))
    }

    fn locked_pods(&self) -> MutexGuard<'_, Vec<Pod>> {
        self.parts
            .pods
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place for Node {
    fn site(&self) -> &Site {
        &self.parts.site
    }
}

/// Set before there are devices, which inherit it.
fn set_forwarding(site: &Site, spec: &NodeSpec) -> Result<()> {
    let rp_filter = match spec.rp_filter {
        RpFilter::Off => "0",
        RpFilter::Strict => "1",
        RpFilter::Loose => "2",
    };
    site.set(&[
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/default/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", rp_filter),
        ("ipv4/conf/default/rp_filter", rp_filter),
    ])?;
    let Some(is_on) = spec.bridge_netfilter else {
        return Ok(());
    };
    let value = if is_on { "1" } else { "0" };
    site.set(&[
        ("bridge/bridge-nf-call-iptables", value),
        ("bridge/bridge-nf-call-ip6tables", value),
    ])
    .context("is the module loaded? modprobe br_netfilter")
}

fn mount_bpffs(at: &Path) -> Result<()> {
    fs::create_dir_all(at).with_context(|| format!("{} cannot be made", at.display()))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), at, Some("bpf"), flags, None::<&str>)
        .with_context(|| format!("bpffs cannot be mounted at {}", at.display()))
}
