//! Devices that carry pods or the outside (`DEVICES`, by ifindex). Read for new flows only.

use bytemuck::{Pod, Zeroable};

/// Value of `DEVICES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Device {
    /// A [`DeviceKind`].
    pub kind: u8,
    /// A combination of [`DeviceFlags`].
    pub flags: u8,
    /// Where frames for the host are addressed to (the master's for a bridge port); zero without
    /// a link layer.
    pub mac: [u8; 6],
    /// Ifindex of the bridge that this device is a port of; zero: none.
    pub master: u32,
}

const _: () = assert!(size_of::<Device>() == 12);

#[cfg(feature = "user")]
// SAFETY: `bytemuck::Pod` is derived, hence any bit pattern is valid and there is no padding.
unsafe impl aya::Pod for Device {}

/// Bits of [`Device::flags`].
#[derive(Clone, Copy, Debug)]
pub struct DeviceFlags;

impl DeviceFlags {
    /// By an explicit `detectLocalMode`, what comes in here is a pod of this node.
    pub const LOCAL_PODS: u8 = 1;
    /// It is a port of a bridge that switches IPv4 packets past netfilter.
    pub const UNSEEN_V4: u8 = 1 << 1;
    /// As `UNSEEN_V4`, IPv6 packets.
    pub const UNSEEN_V6: u8 = 1 << 2;
    /// It sends frames that XDP programs redirect to it.
    pub const SENDS_FRAMES: u8 = 1 << 3;
}

/// Which side of the node a device leads to.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceKind {
    /// Uplinks, tunnels, and whatever is not known: clients behind it are not on this node.
    Outside = 0,
    /// A pod's host end: a client is on this node if the route back to it leaves here.
    Pod = 1,
}

impl DeviceKind {
    /// The kind whose number is `value`, if any.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Outside),
            1 => Some(Self::Pod),
            _ => None,
        }
    }
}
