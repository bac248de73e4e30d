//! Set-ups, by what the kernel tells there.

use super::*;

/// What is mounted in a place, one line a mount.
fn evidence(own_mounts: &[&str], is_private: bool, own: &str, first: &str) -> Evidence {
    Evidence {
        mounts: parsed(own_mounts),
        is_private,
        own: Some(Seat::parse(own)),
        first: Some(Seat::parse(first)),
        first_mounts: Vec::new(),
    }
}

impl Evidence {
    fn first_mounts(self, lines: &[&str]) -> Self {
        Self {
            first_mounts: parsed(lines),
            ..self
        }
    }

    /// A container with its own pid namespace: process 1 is its own.
    fn first_mounts_as_own(self) -> Self {
        Self {
            first_mounts: self.mounts.clone(),
            ..self
        }
    }
}

fn parsed(lines: &[&str]) -> Vec<MountInfo> {
    let text = lines.join("\n");
    let mounts = MountInfos::from_buf_read(text.as_bytes()).unwrap();
    mounts.into_iter().collect()
}

fn part(first: &str) -> Reason {
    Reason::Part {
        first: first.to_owned(),
    }
}

const ROOT: &str = "1 0 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw";
const UNIFIED: &str = "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot";
const HYBRID: [&str; 3] = [
    "25 18 0:22 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755",
    "26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw",
    "27 25 0:24 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd",
];
/// A container's own, as a runtime mounts it.
const CONTAINERS: &str = "2402 2390 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate";
/// The node's, three levels above a container (/kubepods.slice/pod.slice/container.scope).
const HANDED_IN: &str = "2410 2390 0:30 /../../.. /host/cgroup rw,nosuid,nodev,noexec,relatime master:9 - cgroup2 cgroup2 rw";

/// A set-up, what is known of it, and what is to be found there.
type SetUp = (&'static str, Evidence, &'static str, Reason);

fn each_is_found<const N: usize>(set_ups: [SetUp; N]) {
    for (set_up, evidence, path, reason) in set_ups {
        let path = path.into();
        assert_eq!(
            decide(&evidence),
            Some(CgroupRoot { path, reason }),
            "{set_up}"
        );
    }
}

#[test]
fn on_a_host_it_is_the_whole_hierarchy() {
    each_is_found([
        (
            "a service of a host with v2 only",
            evidence(
                &[ROOT, UNIFIED],
                false,
                "/system.slice/netproxy.service",
                "/init.scope",
            )
            .first_mounts(&[ROOT, UNIFIED]),
            "/sys/fs/cgroup",
            Reason::FirstProcess,
        ),
        (
            "a host with the hybrid layout",
            evidence(&HYBRID, false, "/user.slice", "/init.scope").first_mounts(&HYBRID),
            "/sys/fs/cgroup/unified",
            Reason::FirstProcess,
        ),
        (
            "a privileged container: the host's namespace, its own pids",
            evidence(
                &[CONTAINERS],
                false,
                "/kubepods.slice/pod.slice/agent.scope",
                "/kubepods.slice/pod.slice/agent.scope",
            )
            .first_mounts_as_own(),
            "/sys/fs/cgroup",
            Reason::Whole,
        ),
        (
            "process 1 cannot be seen at all",
            Evidence {
                first: None,
                ..evidence(&[UNIFIED], false, "/system.slice/netproxy.service", "/")
            },
            "/sys/fs/cgroup",
            Reason::Whole,
        ),
    ]);
}

#[test]
fn in_a_container_it_is_what_was_handed_in_or_else_a_warning() {
    each_is_found([
        (
            "a container that sees but itself",
            evidence(&[CONTAINERS], true, "/", "/").first_mounts_as_own(),
            "/sys/fs/cgroup",
            Reason::OwnContainer,
        ),
        (
            "a container that sees but itself, and the host's processes",
            evidence(&[CONTAINERS], true, "/", "/../../../init.scope")
                .first_mounts(&["35 24 0:30 /../../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw"]),
            "/sys/fs/cgroup",
            part("/../../../init.scope"),
        ),
        (
            "a container with the host's hierarchy at another place",
            evidence(&[CONTAINERS, HANDED_IN], true, "/", "/").first_mounts_as_own(),
            "/host/cgroup",
            Reason::HandedIn,
        ),
        (
            "a container with the host's hierarchy at another place, and its processes",
            evidence(&[CONTAINERS, HANDED_IN], true, "/", "/../../../init.scope")
                .first_mounts(&["35 24 0:30 /../../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw"]),
            "/host/cgroup",
            Reason::FirstProcess,
        ),
        (
            "a container with the host's hierarchy over its own",
            evidence(
                &[
                    CONTAINERS,
                    "2411 2402 0:30 /../../.. /sys/fs/cgroup rw master:9 - cgroup2 cgroup2 rw",
                ],
                true,
                "/",
                "/",
            )
            .first_mounts_as_own(),
            "/sys/fs/cgroup",
            Reason::HandedIn,
        ),
        (
            "a container with only a part of the host's hierarchy, and its processes",
            evidence(
                &[
                    CONTAINERS,
                    "2410 2390 0:30 /../.. /host/kubepods rw - cgroup2 cgroup2 rw",
                ],
                true,
                "/",
                "/../../../init.scope",
            ),
            "/host/kubepods",
            part("/../../../init.scope"),
        ),
        (
            "a container that was mounted but itself of the host's namespace",
            evidence(
                &["2402 2390 0:30 /kubepods/agent /sys/fs/cgroup ro - cgroup2 cgroup rw"],
                false,
                "/kubepods/agent",
                "/kubepods/agent",
            )
            .first_mounts_as_own(),
            "/sys/fs/cgroup",
            Reason::OwnContainer,
        ),
    ]);
}

#[test]
fn on_a_node_that_is_a_container_it_is_the_nodes_and_not_the_machines() {
    each_is_found([
        (
            "a process of a node of kind that was handed the machine's hierarchy",
            evidence(
                &[
                    "900 890 0:30 /../.. /machine/cgroup rw - cgroup2 cgroup2 rw",
                    UNIFIED,
                ],
                true,
                "/init.scope",
                "/init.scope",
            ),
            "/sys/fs/cgroup",
            Reason::Whole,
        ),
        (
            "a shell in a node of kind",
            evidence(&[UNIFIED], true, "/init.scope", "/init.scope").first_mounts(&[UNIFIED]),
            "/sys/fs/cgroup",
            Reason::Whole,
        ),
        (
            "a privileged container in a node of kind: the node's namespace, its own pids",
            evidence(
                &[CONTAINERS],
                true,
                "/kubelet.slice/pod.slice/agent.scope",
                "/kubelet.slice/pod.slice/agent.scope",
            )
            .first_mounts_as_own(),
            "/sys/fs/cgroup",
            Reason::Whole,
        ),
        (
            "a container in a node of kind with the node's hierarchy",
            evidence(&[CONTAINERS, HANDED_IN], true, "/", "/").first_mounts_as_own(),
            "/host/cgroup",
            Reason::HandedIn,
        ),
        (
            "a node of kind that was handed the machine's hierarchy, and hands on both",
            evidence(
                &[
                    CONTAINERS,
                    "2409 2390 0:30 /../../../../.. /machine/cgroup rw - cgroup2 cgroup2 rw",
                    HANDED_IN,
                ],
                true,
                "/",
                "/../../../init.scope",
            )
            .first_mounts(&[
                "900 890 0:30 /../../../../.. /machine/cgroup rw - cgroup2 cgroup2 rw",
                "901 890 0:30 /../../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
            ]),
            "/host/cgroup",
            Reason::FirstProcess,
        ),
        (
            "a container in a node of kind with nothing but the machine's hierarchy",
            evidence(
                &["2409 2390 0:30 /../../../../.. /host/cgroup rw - cgroup2 cgroup2 rw"],
                true,
                "/",
                "/../../../init.scope",
            )
            .first_mounts(&["901 890 0:30 /../../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw"]),
            "/host/cgroup",
            Reason::BeyondNode,
        ),
    ]);
}

#[test]
fn without_a_mount_of_the_second_version_there_is_none() {
    let first_version = "27 25 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";

    assert_eq!(
        decide(&evidence(&[ROOT, first_version], false, "/", "/")),
        None
    );
}
