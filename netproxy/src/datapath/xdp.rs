//! The program before the stack: XDP on uplinks, where it is asked for, by pinned links.
//!
//! It only makes faster what tc does as well, so where a device cannot have it, nothing is lost and nothing fails.
//! A link keeps its mode, which is in the name of its pin: `<ifindex>-xdp-<mode>`.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use aya::programs::Xdp;
use aya::programs::links::FdLink;
use netproxy_common::DeviceKind;
use tracing::{debug, info, warn};

use super::Pins;
use super::link::replace_pinned;
use super::netdev::sends_frames;
use super::programs::Programs;
use crate::causes::with_causes;
use crate::node::Attachment;

/// The program.
pub(super) const PROGRAM: &str = "xdp_ingress";

/// Where packets of flows that are known are sent on before the kernel has made anything of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum XdpMode {
    /// In the drivers of NICs that can; other devices are left to tc.
    Auto,
    /// Nowhere.
    #[default]
    Off,
    /// In the driver of every uplink that can.
    Native,
    /// Behind every uplink's driver: for tests, as it gains little.
    Generic,
}

/// Where a device has the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum XdpPlace {
    /// In its driver.
    Native,
    /// Behind it.
    Generic,
}

impl XdpPlace {
    const BOTH: [Self; 2] = [Self::Native, Self::Generic];

    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    const fn mode(self) -> aya::programs::XdpMode {
        match self {
            Self::Native => aya::programs::XdpMode::Driver,
            Self::Generic => aya::programs::XdpMode::Skb,
        }
    }
}

impl XdpMode {
    /// Where a device is to have the program; None: nowhere.
    fn place(self, device: &Attachment) -> Option<XdpPlace> {
        let is_uplink =
            device.kind == DeviceKind::Outside && device.has_link_layer && device.master == 0;
        match self {
            _ if !is_uplink => None,
            Self::Off => None,
            Self::Auto => device.is_nic.then_some(XdpPlace::Native),
            Self::Native => Some(XdpPlace::Native),
            Self::Generic => Some(XdpPlace::Generic),
        }
    }

    /// Puts the program where this device is to have it, and takes it away from elsewhere; yields where it is.
    pub(super) fn put(
        self,
        device: &Attachment,
        programs: &mut Programs,
        pins: &Pins,
    ) -> Option<XdpPlace> {
        let wanted = self.place(device);
        for place in XdpPlace::BOTH {
            if wanted != Some(place)
                && let Err(error) = fs::remove_file(pin(pins, device, place))
                && error.kind() != std::io::ErrorKind::NotFound
            {
                warn!(device = device.name, %error, "an XDP program is left on the device");
            }
        }
        let place = wanted?;
        match attach(device, place, programs, pins) {
            Ok(()) => {
                info!(device = device.name, mode = place.name(), "XDP attached");
                Some(place)
            }
            // Nobody has asked for this device by name, and most cannot.
            Err(reason) if self == Self::Auto => {
                info!(device = device.name, reason, "no XDP on the device");
                None
            }
            Err(reason) => {
                warn!(
                    device = device.name,
                    mode = place.name(),
                    reason,
                    "no XDP on the device, which is left to tc; it may lack what it takes, or another \
                     XDP program may be there (`ip link show`)"
                );
                None
            }
        }
    }
}

/// Whether a device with the program sends frames that come in by others.
pub(super) fn takes_frames(device: &Attachment, place: XdpPlace) -> bool {
    match place {
        // The kernel makes packets of them, which every device sends (`generic_xdp_tx`).
        XdpPlace::Generic => true,
        XdpPlace::Native => sends_frames(device.ifindex).unwrap_or_else(|error| {
            debug!(device = device.name, %error, "frames of others are left to tc");
            false
        }),
    }
}

/// Whether a pin of a link is of this program.
pub(super) fn is_pin(pin: &Path) -> bool {
    let name = pin.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.contains("-xdp-"))
}

fn pin(pins: &Pins, device: &Attachment, place: XdpPlace) -> PathBuf {
    let name = format!("{}-xdp-{}", device.ifindex, place.name());
    pins.links().join(name)
}

/// Replaces the program of the pinned link, or makes a link and pins it.
fn attach(
    device: &Attachment,
    place: XdpPlace,
    programs: &mut Programs,
    pins: &Pins,
) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| with_causes(error);
    let pin = pin(pins, device, place);
    let program: &mut Xdp = programs.xdp(PROGRAM).map_err(|error| text(&error))?;
    let fd = program.fd().map_err(|error| text(&error))?.as_fd();
    if replace_pinned(&pin, fd).map_err(|error| text(&error))? {
        return Ok(());
    }
    let id = program
        .attach_to_if_index(device.ifindex, place.mode())
        .map_err(|error| text(&error))?;
    let link = program.take_link(id).map_err(|error| text(&error))?;
    // What is attached by netlink, which aya tries where the kernel refuses a link, does not outlive this process.
    let link = FdLink::try_from(link).map_err(|error| text(&error))?;
    link.pin(&pin).map(drop).map_err(|error| text(&error))
}
