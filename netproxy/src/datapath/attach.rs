//! The devices that have programs, and those for sockets: what is loaded for them, and when it is attached.
//!
//! A new process replaces the program of each hook in one step; no packet passes without a program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fs, io};

use aya::maps::MapData;
use netproxy_common::{Device, DeviceFlags, DeviceKind};
use tracing::{debug, info};

use super::in_force::InForce;
use super::load::{Loaded, is_kernel};
use super::program_pins::ProgramPins;
use super::programs::Programs;
use super::sockets::{self, SocketOptions};
use super::stale_sockets::StaleSockets;
use super::succession::Succession;
use super::tc::{Direction, detach_filters, hook_clsact, hook_tcx};
use super::xdp::{self, XdpMode, XdpPlace};
use super::{DatapathError, MapFill, Pins, ProgramLoad, batch};
use crate::node::Attachment;

/// How programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AttachMode {
    /// tcx where the kernel has it (6.6), else clsact.
    #[default]
    Auto,
    /// tcx links, pinned.
    Tcx,
    /// Filters on the clsact qdisc.
    Clsact,
}

/// The devices that programs are attached to.
#[derive(Debug)]
pub(super) struct Devices {
    programs: Programs,
    stale_sockets: Option<StaleSockets>,
    map: MapData,
    pins: Pins,
    program_pins: ProgramPins,
    uses_tcx: bool,
    xdp: XdpMode,
    attached: BTreeMap<u32, Attachment>,
    /// Where those have an XDP program that have one.
    xdp_places: BTreeMap<u32, XdpPlace>,
    /// Devices that are to be attached, and could not be.
    failed: Vec<Attachment>,
    /// What is yet to be attached to sockets.
    postponed: Option<Postponed>,
}

/// Sockets of a node where nothing is in force: packets are translated without them.
#[derive(Debug)]
struct Postponed {
    sockets: SocketOptions,
    succession: Succession,
}

/// A device that is to be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    /// Its name.
    pub name: String,
    /// Which side of the node it leads to.
    pub kind: DeviceKind,
    /// Whether both programs are attached.
    pub is_attached: bool,
    /// Where it has an XDP program as well; None: nowhere.
    pub xdp: Option<XdpPlace>,
}

impl Devices {
    /// Verifies and loads the programs for Ethernet. Links of an earlier process stay as they are until
    /// [`Self::set`] names their devices, unless its programs have other maps. Where there was none, sockets wait for
    /// [`Self::attach_sockets`].
    pub(super) fn adopt(
        mut loaded: Loaded,
        pins: &Pins,
        (mode, xdp): (AttachMode, XdpMode),
        sockets: Option<&SocketOptions>,
        succession: Succession,
    ) -> Result<Self, DatapathError> {
        let map = loaded.take("DEVICES")?;
        let uses_tcx = match mode {
            AttachMode::Auto => is_kernel(6, 6),
            AttachMode::Tcx => true,
            AttachMode::Clsact => false,
        };
        let mut devices = Self {
            programs: loaded.into_programs(),
            stale_sockets: None,
            map,
            pins: pins.clone(),
            program_pins: ProgramPins::new(pins),
            uses_tcx,
            xdp,
            attached: BTreeMap::new(),
            xdp_places: BTreeMap::new(),
            failed: Vec::new(),
            postponed: None,
        };
        let mut wanted = Direction::BOTH.map(|it| it.program(true)).to_vec();
        if succession.is_from_nothing()
            && let Some(sockets) = sockets.cloned()
        {
            devices.programs.load_ahead(&wanted)?;
            devices.postponed = Some(Postponed {
                sockets,
                succession,
            });
            return Ok(devices);
        }
        // What the verifier refuses is to be known before anything changes.
        if sockets.is_some() {
            wanted.extend(sockets::PROGRAMS);
        }
        devices.programs.load_ahead(&wanted)?;
        devices.succeed(sockets, succession)?;
        Ok(devices)
    }

    /// Whether sockets wait for [`Self::attach_sockets`].
    pub(super) const fn awaits_sockets(&self) -> bool {
        self.postponed.is_some()
    }

    /// Attaches to sockets, where that was postponed.
    pub(super) fn attach_sockets(&mut self) -> Result<(), DatapathError> {
        let Some(Postponed {
            sockets,
            succession,
        }) = self.postponed.take()
        else {
            return Ok(());
        };
        self.programs.load_ahead(&sockets::PROGRAMS)?;
        self.succeed(Some(&sockets), succession)
    }

    /// Puts the programs in the place of earlier ones, and those for sockets where they are to be.
    fn succeed(
        &mut self,
        sockets: Option<&SocketOptions>,
        succession: Succession,
    ) -> Result<(), DatapathError> {
        let (programs, pins) = (&mut self.programs, &self.pins);
        let sockets = sockets::prepare(programs, &succession, sockets)?;
        if succession.is_needed() {
            let in_force = InForce::find(pins, &self.map, sockets.is_some())?;
            in_force.prepare(programs, &succession.hooks())?;
        }
        let caught_up = succession.catch_up()?;
        if let Some(sockets) = &sockets {
            sockets.carry()?;
        }
        self.stale_sockets = caught_up.take_over(|| sockets::attach(programs, pins, sockets))?;
        Ok(())
    }

    /// A way to find sockets whose endpoint is gone, where somebody is to end them.
    pub(super) const fn stale_sockets(&self) -> Option<&StaleSockets> {
        self.stale_sockets.as_ref()
    }

    /// The devices that are to be attached, and whether they are.
    pub(super) fn states(&self) -> Vec<DeviceState> {
        let is_failed = |ifindex| self.failed.iter().any(|failed| failed.ifindex == ifindex);
        let attached = self.attached.values();
        let attached = attached.filter(|known| !is_failed(known.ifindex));
        let state = |device: &Attachment, is_attached| DeviceState {
            name: device.name.clone(),
            kind: device.kind,
            is_attached,
            xdp: self.xdp_places.get(&device.ifindex).copied(),
        };
        let attached = attached.map(|device| state(device, true));
        attached
            .chain(self.failed.iter().map(|device| state(device, false)))
            .collect()
    }

    /// By what programs are attached.
    pub(super) const fn means(&self) -> &'static str {
        if self.uses_tcx { "tcx" } else { "clsact" }
    }

    /// What it took to load the programs.
    pub(super) fn loads(&self) -> &[ProgramLoad] {
        self.programs.loads()
    }

    /// How full the map of devices is.
    pub(super) fn fill(&self) -> MapFill {
        MapFill::of("DEVICES", &self.map, self.attached.len())
    }

    /// Attaches to these devices, lets go of all others.
    pub(super) fn set(&mut self, wanted: &[Attachment]) -> Result<(), DatapathError> {
        self.let_go(wanted)?;
        let mut first_error = None;
        self.failed.clear();
        for attachment in wanted {
            if self.attached.get(&attachment.ifindex) == Some(attachment) {
                continue;
            }
            if let Err(error) = self.put(attachment) {
                self.failed.push(attachment.clone());
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn put(&mut self, attachment: &Attachment) -> Result<(), DatapathError> {
        // First what the programs read, then the programs.
        batch::update(&self.map, &[(attachment.ifindex, attachment.device())])
            .map_err(DatapathError::map("DEVICES", "written"))?;
        let known = self.attached.get(&attachment.ifindex);
        let is_hooked =
            known.is_some_and(|known| known.has_link_layer == attachment.has_link_layer);
        if !is_hooked {
            for direction in Direction::BOTH {
                self.hook(attachment, direction)?;
            }
            info!(
                device = attachment.name, kind = ?attachment.kind,
                by = self.means(), "device attached"
            );
        }
        self.put_xdp(attachment)?;
        self.attached.insert(attachment.ifindex, attachment.clone());
        Ok(())
    }

    /// Puts the XDP program where it is wanted, last: what it knows nothing of is tc's.
    fn put_xdp(&mut self, attachment: &Attachment) -> Result<(), DatapathError> {
        self.xdp_places.remove(&attachment.ifindex);
        let place = self.xdp.put(attachment, &mut self.programs, &self.pins);
        let Some(place) = place else {
            return Ok(());
        };
        self.xdp_places.insert(attachment.ifindex, place);
        if !xdp::takes_frames(attachment, place) {
            return Ok(());
        }
        let mut device = attachment.device();
        device.flags |= DeviceFlags::SENDS_FRAMES;
        batch::update(&self.map, &[(attachment.ifindex, device)])
            .map_err(DatapathError::map("DEVICES", "written"))
    }

    /// Removes what belongs to devices that are not wanted, or are gone.
    fn let_go(&mut self, wanted: &[Attachment]) -> Result<(), DatapathError> {
        let is_wanted = |ifindex: u32| wanted.iter().any(|device| device.ifindex == ifindex);
        for (path, ifindex) in pinned_links(&self.pins)? {
            if !is_wanted(ifindex) {
                unpin(path)?;
            }
        }
        let gone: Vec<_> = self
            .attached
            .values()
            .filter(|known| !is_wanted(known.ifindex))
            .cloned()
            .collect();
        for known in gone {
            if !self.uses_tcx {
                detach_filters(&known.name);
            }
            debug!(device = known.name, "device let go");
            self.attached.remove(&known.ifindex);
            self.xdp_places.remove(&known.ifindex);
        }
        let mut stale = Vec::new();
        batch::for_each(&self.map, |ifindex: &u32, _: &Device| {
            if !is_wanted(*ifindex) {
                stale.push(*ifindex);
            }
        })
        .map_err(DatapathError::map("DEVICES", "read"))?;
        batch::delete(&self.map, &stale).map_err(DatapathError::map("DEVICES", "written"))
    }

    fn hook(&mut self, attachment: &Attachment, direction: Direction) -> Result<(), DatapathError> {
        let failed = |reason: String| DatapathError::Attach {
            device: attachment.name.clone(),
            direction: direction.name(),
            reason,
        };
        let name = direction.program(attachment.has_link_layer);
        let program = self.programs.get(name)?;
        let hooked = if self.uses_tcx {
            let pin =
                self.pins
                    .links()
                    .join(format!("{}-{}", attachment.ifindex, direction.name()));
            hook_tcx(program, attachment, direction, &pin)
        } else {
            hook_clsact(program, attachment, direction)
        };
        hooked.map_err(failed)?;
        self.program_pins.put(name, program);
        Ok(())
    }
}

/// The pinned links with the device index in their name.
pub(super) fn pinned_links(pins: &Pins) -> Result<Vec<(PathBuf, u32)>, DatapathError> {
    let directory = pins.links();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DatapathError::file(directory, "cannot be listed")(error)),
    };
    Ok(entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name();
            let (ifindex, _) = name.to_str()?.split_once('-')?;
            Some((entry.path(), ifindex.parse().ok()?))
        })
        .collect())
}

/// The last reference to a link: the program is detached.
fn unpin(path: PathBuf) -> Result<(), DatapathError> {
    match fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DatapathError::file(path, "cannot be removed")(error)),
    }
}
