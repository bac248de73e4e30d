//! The UID of a pod, and the name that the kubelet gives to a pod's cgroup
//! (`pod_container_manager_linux.go` and `cgroup_manager_linux.go` in `pkg/kubelet/cm`).

use std::fmt;

/// A pod's UID: of the API server a UUID (RFC 9562), of the kubelet, for the static pods that it makes
/// itself, the MD5 of the manifest. Both are 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodUid(u128);

/// The digits of a UUID's groups.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
const DIGITS: usize = 32;

/// Beginning of a pod's part in the name of its cgroup.
const POD: &str = "pod";
/// Below it are all pods.
const PODS: &str = "kubepods";
/// Below these are pods of the two lower classes of service.
const CLASSES: [&str; 2] = ["burstable", "besteffort"];

impl PodUid {
    /// From `metadata.uid`, or from the hash that the kubelet calls a static pod by.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Self::with_separator(text, '-')
    }

    /// From the name of a cgroup, if it is a whole name of a pod's: `pod<uid>` (the driver
    /// `cgroupfs`), or `…kubepods[-burstable|-besteffort]-pod<uid>.slice` with `_` for `-` in the UID
    /// (the driver `systemd`).
    #[must_use]
    pub fn of_cgroup(name: &str) -> Option<Self> {
        let Some(slice) = name.strip_suffix(".slice") else {
            return Self::new(name.strip_prefix(POD)?);
        };
        let (parent, pod) = slice.rsplit_once('-')?;
        let parent = match parent.rsplit_once('-') {
            Some((pods, class)) if CLASSES.contains(&class) => pods,
            _ => parent,
        };
        let is_below_pods = parent.rsplit('-').next() == Some(PODS);
        is_below_pods
            .then(|| Self::with_separator(pod.strip_prefix(POD)?, '_'))
            .flatten()
    }

    fn with_separator(text: &str, separator: char) -> Option<Self> {
        let is_whole = text.len() == DIGITS
            || text.split(separator).map(str::len).eq(GROUPS)
                && text.len() == DIGITS + GROUPS.len() - 1;
        let digits = text.replace(separator, "");
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_whole && are_digits && digits.len() == DIGITS)
            .then(|| u128::from_str_radix(&digits, 16).ok())
            .flatten()
            .map(Self)
    }
}

impl fmt::Debug for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0b3a2c1d-1111-4222-8333-abcdefabcdef";
    const ESCAPED: &str = "0b3a2c1d_1111_4222_8333_abcdefabcdef";
    const HASH: &str = "7f4c9a0b12de34f5a6b7c8d9e0f1a2b3";

    #[test]
    fn a_cgroup_of_either_driver_names_its_pod() {
        let (uuid, hash) = (PodUid::new(UUID).unwrap(), PodUid::new(HASH).unwrap());
        for (name, uid) in [
            (format!("pod{UUID}"), uuid),
            (format!("pod{HASH}"), hash),
            (format!("kubepods-pod{ESCAPED}.slice"), uuid),
            (format!("kubepods-burstable-pod{ESCAPED}.slice"), uuid),
            (format!("kubepods-besteffort-pod{ESCAPED}.slice"), uuid),
            (format!("kubepods-burstable-pod{HASH}.slice"), hash),
            // With --cgroup-root, and in clusters whose nodes are containers.
            (
                format!("kubelet-kubepods-besteffort-pod{ESCAPED}.slice"),
                uuid,
            ),
            (format!("a-b-kubepods-pod{ESCAPED}.slice"), uuid),
        ] {
            assert_eq!(PodUid::of_cgroup(&name), Some(uid), "{name}");
        }
    }

    #[test]
    fn what_only_resembles_a_pods_cgroup_names_none() {
        for name in [
            "pod".to_owned(),
            "podman".to_owned(),
            "kubepods".to_owned(),
            "kubepods.slice".to_owned(),
            "kubepods-burstable.slice".to_owned(),
            UUID.to_owned(),
            format!("pod{}", &UUID[..35]),
            format!("pod{UUID}0"),
            format!("pod{ESCAPED}"),
            format!("pod{UUID}.slice"),
            format!("xpod{UUID}"),
            format!("pod+{}", &HASH[1..]),
            "pod0b3a2c1d1-111-4222-8333-abcdefabcdef".to_owned(),
            format!("kubepods-pod{UUID}.slice"),
            format!("kubepods-burstable-pod{ESCAPED}.scope"),
            format!("kubepods-guaranteed-pod{ESCAPED}.slice"),
            format!("notkubepods-pod{ESCAPED}.slice"),
            format!("machine-pod{ESCAPED}.slice"),
            format!("kubepods-burstable-pod{ESCAPED}-x.slice"),
            format!("kubepods-burstable-besteffort-pod{ESCAPED}.slice"),
        ] {
            assert_eq!(PodUid::of_cgroup(&name), None, "{name}");
        }
    }
}
