//! Programs that an earlier process has attached to devices and sockets, by links or filters, all of which are replaced at
//! once.
//!
//! What each hook is to have is pinned before, under the name of its link, so that whoever comes after a process that
//! died in the middle goes on without a word from a verifier. Filters of clsact have no pin: theirs are called
//! `<ifindex>-filter-<direction>`.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use aya::maps::MapData;
use aya::pin::PinError;
use aya::programs::SchedClassifier;
use netproxy_common::Device;
use nix::net::if_::if_indextoname;
use tracing::{debug, warn};

use super::attach::pinned_links;
use super::link::{Link, open_pin};
use super::programs::Programs;
use super::tc::{Direction, replace_filter};
use super::{DatapathError, Pins, batch, sockets, xdp};
use crate::causes::with_causes;

/// The directory of those programs, beside the new maps.
pub(super) const HOOKS: &str = "hooks";
/// Between the index of a device and the direction of its filter.
const FILTER: &str = "-filter-";

/// Hooks that have a program, or may have one.
#[derive(Debug)]
pub(super) struct InForce {
    hooks: Vec<Hook>,
}

#[derive(Debug)]
struct Hook {
    /// The name of its link.
    name: String,
    program: Program,
}

#[derive(Clone, Copy, Debug)]
enum Program {
    Packets(&'static str),
    Frames(&'static str),
    Socket(&'static str),
}

impl InForce {
    /// Finds them, by the pins and by the devices in `DEVICES`; those of sockets where these are to have programs.
    pub(super) fn find(
        pins: &Pins,
        devices: &MapData,
        has_sockets: bool,
    ) -> Result<Self, DatapathError> {
        let mut known = Vec::new();
        batch::for_each(devices, |ifindex: &u32, device: &Device| {
            // Those without a link layer have no address there.
            known.push((*ifindex, device.mac != [0; 6]));
        })
        .map_err(DatapathError::map("DEVICES", "read"))?;
        let mut hooks = Vec::new();
        for (pin, ifindex) in pinned_links(pins)? {
            let Some(name) = pin.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let direction = Direction::BOTH
                .into_iter()
                .find(|direction| name.ends_with(direction.name()));
            let device = known.iter().find(|(known, _)| *known == ifindex);
            let program = if xdp::is_pin(&pin) {
                Program::Frames(xdp::PROGRAM)
            } else if let Some((direction, (_, has_link_layer))) = direction.zip(device) {
                Program::Packets(direction.program(*has_link_layer))
            } else {
                continue;
            };
            let name = name.to_owned();
            hooks.push(Hook { name, program });
        }
        for (ifindex, has_link_layer) in known {
            hooks.extend(Direction::BOTH.map(|direction| Hook {
                name: format!("{ifindex}{FILTER}{}", direction.name()),
                program: Program::Packets(direction.program(has_link_layer)),
            }));
        }
        if has_sockets {
            hooks.extend(sockets::PROGRAMS.map(|name| Hook {
                name: name.to_owned(),
                program: Program::Socket(name),
            }));
        }
        Ok(Self { hooks })
    }

    /// Loads the programs that they are to have, which takes long, and pins them in this directory.
    pub(super) fn prepare(
        &self,
        programs: &mut Programs,
        directory: &Path,
    ) -> Result<(), DatapathError> {
        fs::create_dir_all(directory)
            .map_err(DatapathError::file(directory, "cannot make the directory"))?;
        for hook in &self.hooks {
            let pin = directory.join(&hook.name);
            let pinned = match hook.program {
                Program::Packets(name) => programs.get(name)?.pin(&pin),
                Program::Frames(name) => programs.xdp(name)?.pin(&pin),
                Program::Socket(name) => programs.socket(name)?.pin(&pin),
            };
            pinned.map_err(|error: PinError| {
                let error = io::Error::other(with_causes(&error));
                DatapathError::file(pin, "the program cannot be pinned")(error)
            })?;
        }
        Ok(())
    }
}

/// Gives the hooks the programs that are pinned in this directory. A hook that is gone, or has no link yet, is attached
/// anew with its device.
pub(super) fn replace(pins: &Pins, directory: &Path) -> Result<(), DatapathError> {
    let failed = || DatapathError::file(directory, "cannot be listed");
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed())?,
    };
    for entry in entries {
        let program = entry.map_err(failed())?.path();
        let Some(name) = program.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if let Some((ifindex, direction)) = name.split_once(FILTER) {
            if let Err(reason) = replace_filter_of(ifindex, direction, &program) {
                debug!(name, reason, "no filter is replaced");
            }
            continue;
        }
        for link in [pins.links().join(name), pins.sockets().join(name)] {
            if let Err(error) = replace_linked(&link, &program) {
                warn!(pin = %link.display(), %error, "the program of a link is not replaced");
            }
        }
    }
    Ok(())
}

fn replace_linked(link: &Path, program: &Path) -> io::Result<()> {
    let Some(link) = Link::open(link)? else {
        return Ok(());
    };
    match open_pin(program)? {
        Some(program) => link.replace(program.as_fd()),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

fn replace_filter_of(ifindex: &str, direction: &str, program: &Path) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| with_causes(error);
    let ifindex: u32 = ifindex.parse().map_err(|error| text(&error))?;
    let device = if_indextoname(ifindex).map_err(|error| text(&error))?;
    let device = device.to_str().map_err(|error| text(&error))?;
    let direction = Direction::BOTH
        .into_iter()
        .find(|it| it.name() == direction)
        .ok_or("it is of no direction")?;
    let mut program = SchedClassifier::from_pin(program).map_err(|error| text(&error))?;
    replace_filter(&mut program, device, direction)
}
