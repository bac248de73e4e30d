//! A pod: a namespace whose `eth0` is one end of a pair; the node's CNI shape says what becomes of
//! the other, which is made from the node's side so that the pod's namespace shows on it
//! (`IFLA_LINK_NETNSID`).

use std::sync::Arc;

use anyhow::Result;

use crate::{
    Node, Place,
    cni::{NodePlan, device_name},
    place::Site,
};

/// A pod. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Pod {
    site: Arc<Site>,
    node: String,
    device: String,
}

impl Pod {
    /// Makes pod `number` (from 1) of the node.
    pub(crate) fn create(node: &Node, plan: &NodePlan, name: &str, number: u8) -> Result<Self> {
        let addresses = plan.pods.pod(number);
        let cgroup = node.cgroup().join(name);
        let site = Site::create(node.site().journal(), "pod", name, addresses, cgroup)?;
        let device = device_name("veth", name);
        let pod = Self {
            site: Arc::new(site),
            node: node.name().to_owned(),
            device,
        };

        let Self { device, .. } = &pod;
        let mtu = plan.cni.pod_mtu();
        let namespace = pod.namespace().name();
        node.ip(&format!(
            "link add {device} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {namespace}\n{}",
            plan.cni.host_end(device, addresses)
        ))?;
        let settings = plan.cni.host_end_settings(device);
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        node.namespace().set(&settings)?;
        pod.ip(&format!(
            "link set lo up\n{}",
            plan.cni.pod_end(plan, addresses)
        ))?;
        Ok(pod)
    }

    /// The name of its node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The node's end of its pair.
    #[must_use]
    pub fn host_device(&self) -> &str {
        &self.device
    }
}

impl Place for Pod {
    fn site(&self) -> &Site {
        &self.site
    }
}
