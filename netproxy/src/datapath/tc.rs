//! A hook of a device: a pinned tcx link, or a filter of clsact where the kernel has no tcx.
//!
//! First at ingress and last at egress. The program of either is replaced in one step; no packet passes without one.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use aya::programs::links::FdLink;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcHandle,
    qdisc_add_clsact,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use tracing::debug;

use super::DatapathError;
use super::link::replace_pinned;
use crate::causes::with_causes;
use crate::node::Attachment;

/// One hook of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Where packets enter the node.
    Ingress,
    /// Where they leave it.
    Egress,
}

impl Direction {
    pub(super) const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// As it is shown, and as pins are called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    const fn attach_type(self) -> TcAttachType {
        match self {
            Self::Ingress => TcAttachType::Ingress,
            Self::Egress => TcAttachType::Egress,
        }
    }

    fn order(self) -> LinkOrder {
        match self {
            Self::Ingress => LinkOrder::first(),
            Self::Egress => LinkOrder::last(),
        }
    }

    /// Filters run in the order of their priorities.
    const fn priority(self) -> u16 {
        match self {
            Self::Ingress => 1,
            Self::Egress => u16::MAX - 1,
        }
    }

    pub(super) const fn program(self, has_link_layer: bool) -> &'static str {
        match (self, has_link_layer) {
            (Self::Ingress, true) => "tc_ingress",
            (Self::Ingress, false) => "tc_ingress_l3",
            (Self::Egress, true) => "tc_egress",
            (Self::Egress, false) => "tc_egress_l3",
        }
    }
}

/// The filters' handle, by which a later process finds them: `np`.
pub const FILTER_HANDLE: u16 = 0x6e70;

/// Replaces the program of the pinned link, or makes a link and pins it.
pub(super) fn hook_tcx(
    program: &mut SchedClassifier,
    attachment: &Attachment,
    direction: Direction,
    pin: &PathBuf,
) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| with_causes(error);
    let fd = program.fd().map_err(|e| text(&e))?.as_fd();
    if replace_pinned(pin, fd).map_err(|e| text(&e))? {
        return Ok(());
    }
    let id = program
        .attach_with_options(
            &attachment.name,
            direction.attach_type(),
            TcAttachOptions::TcxOrder(direction.order()),
        )
        .map_err(|e| text(&e))?;
    let link = program.take_link(id).map_err(|e| text(&e))?;
    let link = FdLink::try_from(link).map_err(|e| text(&e))?;
    link.pin(pin).map(drop).map_err(|e| text(&e))
}

/// Replaces the program of our filter, or adds the filter.
pub(super) fn hook_clsact(
    program: &mut SchedClassifier,
    attachment: &Attachment,
    direction: Direction,
) -> Result<(), String> {
    if let Err(error) = qdisc_add_clsact(&attachment.name) {
        debug!(device = attachment.name, %error, "clsact is there already");
    }
    if replace_filter(program, &attachment.name, direction).is_ok() {
        return Ok(());
    }
    let id = program.attach_with_options(
        &attachment.name,
        direction.attach_type(),
        TcAttachOptions::Netlink(NlOptions {
            priority: direction.priority(),
            handle: TcHandle::new(0, FILTER_HANDLE),
            ..NlOptions::default()
        }),
    );
    keep_filter(program, id)
}

/// Replaces the program of our filter on a device; an error where there is none.
pub(super) fn replace_filter(
    program: &mut SchedClassifier,
    device: &str,
    direction: Direction,
) -> Result<(), String> {
    let known = own_filter(device, direction).map_err(|e| with_causes(&e))?;
    let id = program.attach_to_link(known);
    keep_filter(program, id)
}

/// Our filter on a device, whether it is there or not.
fn own_filter(device: &str, direction: Direction) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(
        device,
        direction.attach_type(),
        direction.priority(),
        TcHandle::new(0, FILTER_HANDLE),
        None,
    )
}

fn keep_filter(
    program: &mut SchedClassifier,
    id: Result<SchedClassifierLinkId, ProgramError>,
) -> Result<(), String> {
    let link = program
        .take_link(id.map_err(|e| with_causes(&e))?)
        .map_err(|e| with_causes(&e))?;
    // Dropping it would remove the filter, which is to outlive this process.
    std::mem::forget(link);
    Ok(())
}

/// Removes our filters from a device, which may be gone, and they with it; counts them.
pub(super) fn detach_filters(device: &str) -> usize {
    use aya::programs::Link as _;
    let is_removed = |direction: &Direction| {
        own_filter(device, *direction).is_ok_and(|link| link.detach().is_ok())
    };
    Direction::BOTH
        .iter()
        .filter(|direction| is_removed(direction))
        .count()
}

/// Removes our filters from every device; counts them.
pub(super) fn remove_filters() -> Result<usize, DatapathError> {
    let interfaces = nix::net::if_::if_nameindex()
        .map_err(|errno| DatapathError::file("/sys/class/net", "cannot be listed")(errno.into()))?;
    let names = interfaces
        .iter()
        .filter_map(|interface| interface.name().to_str().ok());
    Ok(names.map(detach_filters).sum())
}
