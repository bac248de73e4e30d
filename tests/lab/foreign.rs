//! Programs of others on a node's devices (`netproxy-ebpf/foreign`), beside netproxy's.

use std::path::Path;

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    programs::{
        LinkOrder, Program, SchedClassifier, TcAttachType, Xdp, XdpMode,
        tc::{NlOptions, TcAttachOptions, qdisc_add_clsact},
    },
};
use netproxy_lab::{Node, Place};

/// Where on a hook a program is put.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Before all that are there, by tcx.
    First,
    /// After all that are there, by tcx.
    Last,
    /// A clsact filter of this priority.
    Filter(u16),
}

/// The programs. What is attached by tcx goes with them.
pub(crate) struct Foreign {
    ebpf: Ebpf,
}

impl Foreign {
    pub(crate) fn load() -> Result<Self> {
        let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ebpf/foreign");
        let mut ebpf = Ebpf::load_file(object).context("cargo xtask build-ebpf")?;
        for (_, program) in ebpf.programs_mut() {
            match program {
                Program::Xdp(program) => program.load()?,
                other => <&mut SchedClassifier>::try_from(other)?.load()?,
            }
        }
        Ok(Self { ebpf })
    }

    /// Attaches the one of XDP to a device.
    pub(crate) fn attach_early(&mut self, place: &dyn Place, device: &str) -> Result<()> {
        let program = self.ebpf.program_mut("look_on_early");
        let program: &mut Xdp = program.context("no such program")?.try_into()?;
        place
            .namespace()
            .inside(|| Ok(program.attach(device, XdpMode::Driver).map(drop)?))
            .with_context(|| format!("{device} of {}", place.name()))
    }

    /// Attaches a program to a hook of a node's device.
    pub(crate) fn attach(
        &mut self,
        program: &str,
        node: &Node,
        device: &str,
        hook: TcAttachType,
        order: Order,
    ) -> Result<()> {
        let program = self.ebpf.program_mut(program).context("no such program")?;
        let program: &mut SchedClassifier = program.try_into()?;
        node.namespace()
            .inside(|| attach(program, device, hook, order))
            .with_context(|| format!("{device} of {}, {order:?}", node.name()))
    }
}

fn attach(
    program: &mut SchedClassifier,
    device: &str,
    hook: TcAttachType,
    order: Order,
) -> Result<()> {
    let options = match order {
        Order::First => TcAttachOptions::TcxOrder(LinkOrder::first()),
        Order::Last => TcAttachOptions::TcxOrder(LinkOrder::last()),
        Order::Filter(priority) => {
            // It may be there already.
            let _ = qdisc_add_clsact(device);
            TcAttachOptions::Netlink(NlOptions {
                priority,
                ..NlOptions::default()
            })
        }
    };
    let id = program.attach_with_options(device, hook, options)?;
    if matches!(order, Order::Filter(_)) {
        // It ends with the device; dropping it would look for the filter in another namespace.
        std::mem::forget(program.take_link(id)?);
    }
    Ok(())
}
