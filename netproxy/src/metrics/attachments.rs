//! Where the packet programs are, and what it took to load programs.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

use netproxy_common::DeviceKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{OTHER, as_i64, register};
use crate::datapath::{DeviceState, ProgramLoad, XdpPlace};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct OfDevice {
    device: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    kind: &'static str,
    by: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMode {
    mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProgram {
    program: String,
}

/// Notes of devices, of which only so many have series of their own, and of programs.
#[derive(Debug)]
pub struct AttachMetrics {
    limit: usize,
    devices: Family<OfState, Gauge>,
    attached: Family<OfDevice, Gauge>,
    /// What `attached` tells of.
    shown: BTreeSet<OfDevice>,
    xdp: Family<OfMode, Gauge>,
    instructions: Family<OfProgram, Gauge>,
    load_seconds: Family<OfProgram, Gauge<f64, AtomicU64>>,
}

impl AttachMetrics {
    pub(super) fn new(registry: &mut Registry, limit: usize) -> Self {
        Self {
            limit,
            devices: register(
                registry,
                "netproxy_devices",
                "Devices that carry pods or the outside, by how the programs are attached, and whether",
                Family::default(),
            ),
            attached: register(
                registry,
                "netproxy_device_attached",
                "Whether both programs are attached to a device; of other: to all of them",
                Family::default(),
            ),
            shown: BTreeSet::new(),
            xdp: register(
                registry,
                "netproxy_xdp_devices",
                "Devices that have the XDP program, in their driver or behind it",
                Family::default(),
            ),
            instructions: register(
                registry,
                "netproxy_program_verified_instructions",
                "Instructions that the kernel's verifier walked in a program; it walks a million at most",
                Family::default(),
            ),
            load_seconds: register(
                registry,
                "netproxy_program_load_seconds",
                "How long the kernel took to load a program, most of it for verification",
                Family::default(),
            ),
        }
    }

    /// These are all devices, attached to `by` tcx or clsact.
    pub fn devices(&mut self, mut devices: Vec<DeviceState>, by: &'static str) {
        for kind in [DeviceKind::Outside, DeviceKind::Pod] {
            for (state, is_attached) in [("attached", true), ("failed", false)] {
                let found = devices
                    .iter()
                    .filter(|device| device.kind == kind && device.is_attached == is_attached);
                let kind = name(kind);
                let labels = OfState { kind, by, state };
                let gauge = self.devices.get_or_create(&labels);
                gauge.set(as_i64(found.count()));
            }
        }
        for place in [XdpPlace::Native, XdpPlace::Generic] {
            let found = devices.iter().filter(|device| device.xdp == Some(place));
            let labels = OfMode { mode: place.name() };
            self.xdp.get_or_create(&labels).set(as_i64(found.count()));
        }
        // Those that are not served are told of by name first, then what leads outside: it is
        // every connection's.
        devices.sort_by_key(|device| {
            let is_pod = device.kind == DeviceKind::Pod;
            (device.is_attached, is_pod, device.name.clone())
        });
        let others = devices.split_off(self.limit.min(devices.len()));
        let mut now: Vec<_> = devices
            .into_iter()
            .map(|device| {
                let labels = OfDevice {
                    device: device.name,
                    kind: name(device.kind),
                };
                (labels, device.is_attached)
            })
            .collect();
        if !others.is_empty() {
            let labels = OfDevice {
                device: OTHER.to_owned(),
                kind: "",
            };
            now.push((labels, others.iter().all(|device| device.is_attached)));
        }
        for (labels, is_attached) in &now {
            let gauge = self.attached.get_or_create(labels);
            gauge.set((*is_attached).into());
        }
        let shown = now.into_iter().map(|(labels, _)| labels).collect();
        for gone in self.shown.difference(&shown) {
            self.attached.remove(gone);
        }
        self.shown = shown;
    }

    /// These programs have been loaded.
    pub fn programs(&self, loads: &[ProgramLoad]) {
        for load in loads {
            let labels = OfProgram {
                program: load.program.clone(),
            };
            let seconds = self.load_seconds.get_or_create(&labels);
            seconds.set(load.took.as_secs_f64());
            if let Some(count) = load.verified_instructions {
                self.instructions.get_or_create(&labels).set(count.into());
            }
        }
    }
}

const fn name(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Outside => "outside",
        DeviceKind::Pod => "pod",
    }
}
