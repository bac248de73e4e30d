//! A packet at an XDP hook: an Ethernet frame as the driver has received it, before there is an skb.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::bpf_xdp_get_buff_len;

use super::direct::Direct;
use super::{Bytes, ETHERNET, Packet};
use crate::checksum::{fold_short, word};

/// The flags of `bpf_l4_csum_replace` that say that a checksum of zero is none.
const ZERO_IS_NONE: u64 = aya_ebpf::bindings::BPF_F_MARK_MANGLED_0 as u64;
/// Offset of the EtherType.
const ETHER_TYPE: usize = 12;

/// A frame.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    frame: *mut xdp_md,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(frame: *mut xdp_md) -> Self {
        Self { frame }
    }

    /// The EtherType, as `Skb::protocol` has it. That of a tagged frame is the tag's.
    #[inline(always)]
    pub(crate) fn protocol(self) -> u32 {
        self.read::<u16>(ETHER_TYPE).map_or(0, u32::from)
    }

    /// Addresses the frame: the next hop's address, then the sending device's.
    #[inline(always)]
    pub(crate) fn set_macs(self, macs: [[u8; 6]; 2]) -> Option<()> {
        self.write(0, macs)
    }
}

impl Direct for Frame {
    /// The first part of the frame, which has all headers.
    #[inline(always)]
    fn bounds(self) -> (usize, usize) {
        // SAFETY: the kernel keeps the context valid for the program's run.
        unsafe {
            (
                (&raw const (*self.frame).data).read_volatile() as usize,
                (&raw const (*self.frame).data_end).read_volatile() as usize,
            )
        }
    }
}

impl Bytes for Frame {
    const IP: usize = ETHERNET;
    const ARE_QUOTED: bool = false;

    #[inline(always)]
    fn read<T: Copy>(self, offset: usize) -> Option<T> {
        self.get(offset)
    }

    #[inline(always)]
    fn write<T: Copy>(self, offset: usize, value: T) -> Option<()> {
        self.put(offset, value)
    }

    #[inline(always)]
    fn are_segmented(self) -> bool {
        false
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn make_accessible(self, _: usize) {}

    /// As `inet_proto_csum_replace_by_diff` (net/core/utils.c), of a checksum that is complete: who has left
    /// his to a device is not let through to here.
    #[inline(always)]
    fn adjust_checksum(self, offset: usize, difference: u32, flags: u64) -> Result<(), ()> {
        let old: u16 = self.read(offset).ok_or(())?;
        if flags & ZERO_IS_NONE != 0 && old == 0 {
            return Ok(());
        }
        let new = !fold_short(word((!old).to_ne_bytes()) + u64::from(difference));
        let new = if flags & ZERO_IS_NONE != 0 && new == 0 {
            !0
        } else {
            new
        };
        self.write(offset, new).ok_or(())
    }

    #[inline(always)]
    fn adjust_sum(self, _: u32) {}

    #[inline(always)]
    fn segment_bytes(self) -> u32 {
        0
    }

    #[inline(always)]
    fn length(self) -> usize {
        // SAFETY: as above.
        unsafe { bpf_xdp_get_buff_len(self.frame) as usize }
    }

    #[inline(always)]
    fn is_from_host(self) -> bool {
        false
    }

    #[inline(always)]
    fn came_in_by(self) -> u32 {
        self.ifindex()
    }

    #[inline(always)]
    fn ifindex(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.frame).ingress_ifindex }
    }

    #[inline(always)]
    fn context(self) -> *mut core::ffi::c_void {
        self.frame.cast()
    }
}
