//! The kernel thread that receives for a node's uplink, on a CPU of its own: how long it works for what it forwards.

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Lab, Node, Place};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use crate::cpu;

/// Kernel threads of NAPI are called so, with the device's name behind it.
const NAPI: &str = "napi/";
/// Whether a device is received by threads.
const THREADED: &str = "threaded";

/// How the underlay's end is told of packets: not of each, as one wakes a thread for every packet that is not part of
/// a batch, but every so often, as network cards do. With their values for the rest of the time.
const MODERATION: [(&str, &str, &str); 2] = [
    ("gro_flush_timeout", "20000", "0"),
    ("napi_defer_hard_irqs", "1000", "0"),
];

/// The thread of one uplink. Dropping it gives the work back to whoever receives.
#[derive(Debug)]
pub(crate) struct Forwarder<'a> {
    lab: &'a Lab,
    node: Node,
    /// The underlay's end of the uplink.
    port: String,
    thread: Pid,
}

impl<'a> Forwarder<'a> {
    /// Has a node's uplink received by a thread on the clients' CPU, and what it sends by one on the other, where the
    /// sender is as well and has to wait for it.
    pub(crate) fn begin(lab: &'a Lab, node: Node) -> Result<Self> {
        // Without it a veth has no NAPI, unless it has an XDP program.
        node.run(&["ethtool", "--features", "eth0", "gro", "on"])?;
        // Nor does it receive by it what its other end might have had cut into segments (`veth_skb_is_eligible_for_gro`
        // in drivers/net/veth.c).
        let port = lab.port_of(&node);
        lab.fabric()
            .run(&["ethtool", "--features", &port, "gro", "on", "tso", "off"])?;
        let thread = hand_to_thread(&node, "eth0", cpu::CLIENT)?;
        let receiver = hand_to_thread(lab.fabric(), &port, cpu::SERVER)?;
        // Before the sender, or what is sent on finds the queue of the veth full (`VETH_RING_SIZE`).
        lab.fabric()
            .run(&["chrt", "--fifo", "--pid", "1", &receiver.to_string()])?;
        for (setting, value, _) in MODERATION {
            set(lab.fabric(), &port, setting, value)?;
        }
        Ok(Self {
            lab,
            node,
            port,
            thread,
        })
    }

    /// How long it has worked so far.
    pub(crate) fn worked(&self) -> Result<Duration> {
        let path = format!("/proc/{}/schedstat", self.thread);
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let first = text.split_whitespace().next();
        let nanoseconds = first.and_then(|it| it.parse().ok());
        Ok(Duration::from_nanos(
            nanoseconds.with_context(|| format!("{path} has {text}"))?,
        ))
    }
}

impl Drop for Forwarder<'_> {
    fn drop(&mut self) {
        // They end with the lab, if not now.
        let fabric = self.lab.fabric();
        for (setting, _, value) in MODERATION {
            let _ = set(fabric, &self.port, setting, value);
        }
        let _ = set(fabric, &self.port, THREADED, "0");
        let _ = fabric.run(&[
            "ethtool",
            "--features",
            &self.port,
            "gro",
            "off",
            "tso",
            "on",
        ]);
        let _ = set(&self.node, "eth0", THREADED, "0");
        let _ = self
            .node
            .run(&["ethtool", "--features", "eth0", "gro", "off"]);
    }
}

fn hand_to_thread(place: &dyn Place, device: &str, cpu: usize) -> Result<Pid> {
    let before = threads()?;
    set(place, device, THREADED, "1")?;
    let new: Vec<_> = threads()?.difference(&before).copied().collect();
    ensure!(
        new.len() == 1,
        "{device} of {} is received by {} threads",
        place.name(),
        new.len()
    );
    let thread = Pid::from_raw(new[0]);
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(thread, &set).context("give the thread a CPU")?;
    Ok(thread)
}

/// Writes a setting of `/sys/class/net/<device>`, where `/sys` is that of the place's network namespace.
fn set(place: &dyn Place, device: &str, setting: &str, value: &str) -> Result<()> {
    let script =
        format!("mount -t sysfs sysfs /sys && echo {value} >/sys/class/net/{device}/{setting}");
    place
        .run(&["unshare", "--mount", "sh", "-c", &script])
        .map(drop)
}

fn threads() -> Result<BTreeSet<i32>> {
    let mut threads = BTreeSet::new();
    for entry in fs::read_dir("/proc").context("list /proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile is none.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(NAPI) {
            threads.insert(pid);
        }
    }
    Ok(threads)
}
