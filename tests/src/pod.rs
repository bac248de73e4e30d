//! A pod: a namespace whose `eth0` is one end of a pair; the node's CNI shape says what becomes of
//! the other, which is made from the node's side so that the pod's namespace shows on it
//! (`IFLA_LINK_NETNSID`).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

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
    uid: String,
}

impl Pod {
    /// Makes pod `number` (from 1) of the node, with an UID that the API server has given, or one that
    /// no other pod of the lab has.
    pub(crate) fn create(
        node: &Node,
        plan: &NodePlan,
        name: &str,
        number: u8,
        uid: Option<&str>,
    ) -> Result<Self> {
        let addresses = plan.pods.pod(number);
        let uid = uid.map_or_else(|| lab_uid(plan.number, number), str::to_owned);
        let cgroup = node.cgroup().join(kubelet_cgroup(&uid, number));
        let cgroup = cgroup.join(format!("cri-containerd-{name}.scope"));
        let site = Site::create(node.site().journal(), "pod", name, addresses, cgroup)?;
        let device = device_name("veth", name);
        let pod = Self {
            site: Arc::new(site),
            node: node.name().to_owned(),
            device,
            uid,
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

    /// Its `metadata.uid`, by which its cgroup is named.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The node's end of its pair.
    #[must_use]
    pub fn host_device(&self) -> &str {
        &self.device
    }
}

/// A UUID, as the API server gives them.
fn lab_uid(node: u8, pod: u8) -> String {
    format!("00000000-0000-4000-8000-00000000{node:02x}{pod:02x}")
}

/// The pod's cgroup below the node's, as the kubelet makes it: with the driver `systemd` for every
/// other pod, with `cgroupfs` for those between.
fn kubelet_cgroup(uid: &str, number: u8) -> PathBuf {
    if number % 2 == 1 {
        let slice = format!("kubepods-burstable-pod{}.slice", uid.replace('-', "_"));
        Path::new("kubepods.slice/kubepods-burstable.slice").join(slice)
    } else {
        Path::new("kubepods/besteffort").join(format!("pod{uid}"))
    }
}

impl Place for Pod {
    fn site(&self) -> &Site {
        &self.site
    }
}
