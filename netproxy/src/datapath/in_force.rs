//! Programs that an earlier process has attached to devices, by links or filters, all of which are replaced at once.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use aya::maps::MapData;
use aya::programs::{ProgramError, ProgramFd};
use netproxy_common::Device;
use nix::net::if_::if_indextoname;
use tracing::{debug, warn};

use super::attach::{Direction, pinned_links, replace_filter};
use super::link::Link;
use super::load::Programs;
use super::{DatapathError, Pins, batch, xdp};
use crate::causes::with_causes;

/// The hooks of devices where there may be one.
#[derive(Debug)]
pub(super) struct InForce {
    hooks: Vec<Hook>,
    /// The pinned links of XDP.
    frames: Vec<PathBuf>,
}

#[derive(Debug)]
struct Hook {
    direction: Direction,
    has_link_layer: bool,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// A pinned link.
    Link(PathBuf),
    /// A filter of the device of this name.
    Filter(String),
}

impl InForce {
    /// Finds them, by the pins and by the devices in `DEVICES`.
    pub(super) fn find(pins: &Pins, devices: &MapData) -> Result<Self, DatapathError> {
        let mut known = Vec::new();
        batch::for_each(devices, |ifindex: &u32, device: &Device| {
            // Those without a link layer have no address there.
            known.push((*ifindex, device.mac != [0; 6]));
        })
        .map_err(DatapathError::map("DEVICES", "read"))?;
        let (mut hooks, mut frames) = (Vec::new(), Vec::new());
        for (pin, ifindex) in pinned_links(pins)? {
            if xdp::is_pin(&pin) {
                frames.push(pin);
                continue;
            }
            let name = pin.to_string_lossy();
            let direction = Direction::BOTH
                .into_iter()
                .find(|direction| name.ends_with(direction.name()));
            let device = known.iter().find(|(known, _)| *known == ifindex);
            if let Some((direction, (_, has_link_layer))) = direction.zip(device) {
                hooks.push(Hook {
                    direction,
                    has_link_layer: *has_link_layer,
                    place: Place::Link(pin),
                });
            }
        }
        for (ifindex, has_link_layer) in known {
            // One that is gone has no filter either.
            let Some(name) = if_indextoname(ifindex)
                .ok()
                .and_then(|name| name.into_string().ok())
            else {
                continue;
            };
            hooks.extend(Direction::BOTH.map(|direction| Hook {
                direction,
                has_link_layer,
                place: Place::Filter(name.clone()),
            }));
        }
        Ok(Self { hooks, frames })
    }

    /// Loads the programs that are to be put there: that takes long.
    pub(super) fn load(&self, programs: &mut Programs) -> Result<(), DatapathError> {
        for hook in &self.hooks {
            programs.get(hook.direction.program(hook.has_link_layer))?;
        }
        if !self.frames.is_empty() {
            programs.xdp(xdp::PROGRAM)?;
        }
        Ok(())
    }

    /// Puts them there. What cannot be replaced is attached anew with its device, or goes with it.
    pub(super) fn replace(&self, programs: &mut Programs) -> Result<(), DatapathError> {
        for hook in &self.hooks {
            let program = programs.get(hook.direction.program(hook.has_link_layer))?;
            match &hook.place {
                Place::Link(pin) => replace_linked(pin, program.fd()),
                Place::Filter(device) => {
                    if let Err(reason) = replace_filter(program, device, hook.direction) {
                        debug!(device, reason, "no filter is replaced");
                    }
                }
            }
        }
        for pin in &self.frames {
            replace_linked(pin, programs.xdp(xdp::PROGRAM)?.fd());
        }
        Ok(())
    }
}

fn replace_linked(pin: &Path, program: Result<&ProgramFd, ProgramError>) {
    let replaced = program
        .map_err(|error| with_causes(&error))
        .and_then(|program| {
            let link = Link::open(pin).map_err(|error| with_causes(&error))?;
            let link = link.ok_or("it is gone")?;
            link.replace(program.as_fd())
                .map_err(|error| with_causes(&error))
        });
    if let Err(reason) = replaced {
        warn!(pin = %pin.display(), reason, "the program of a link is not replaced");
    }
}
