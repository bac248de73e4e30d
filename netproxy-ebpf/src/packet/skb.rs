//! A packet at a tc hook: an skb, whose first bytes are directly accessible.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::{bpf_csum_update, bpf_l4_csum_replace, bpf_skb_pull_data};

use super::direct::Direct;
use super::{Bytes, ETHERNET, Packet, SEVERAL_SIZES};

/// EtherTypes as `__sk_buff::protocol` shows them: network byte order in a wider integer.
pub(crate) const ETH_P_IP: u32 = 0x0800_u16.to_be() as u32;
/// `PACKET_HOST` of uapi/linux/if_packet.h.
const PACKET_HOST: u32 = 0;
/// `PACKET_BROADCAST` and `PACKET_MULTICAST`.
const TO_MANY: [u32; 2] = [1, 2];
/// What is left in `tc_index`, which nothing else has used since the kernel has lost its tcindex and dsmark (6.3), of a
/// packet that has its translation.
const TRANSLATED: u32 = 0x6e70;
/// As `ETH_P_IP`.
pub(crate) const ETH_P_IPV6: u32 = 0x86dd_u16.to_be() as u32;

/// An skb whose IP header is at `L2`.
#[derive(Clone, Copy)]
pub(crate) struct Skb<const L2: usize> {
    skb: *mut __sk_buff,
}

impl<const L2: usize> Skb<L2> {
    #[inline(always)]
    pub(crate) fn new(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }

    /// The hook's context, for helpers that want it typed.
    #[inline(always)]
    pub(crate) fn skb(self) -> *mut __sk_buff {
        self.skb
    }

    /// The EtherType in network byte order.
    #[inline(always)]
    pub(crate) fn protocol(self) -> u32 {
        // SAFETY: the kernel keeps the context valid for the program's run.
        unsafe { (*self.skb).protocol }
    }

    /// Writes into the room that classifiers have beside a packet (`cb`), for whoever gets it next.
    #[inline(always)]
    pub(crate) fn leave_note(self, note: u32) {
        // SAFETY: as above; programs at this hook may write here (tc_cls_act_is_valid_access).
        unsafe { (&raw mut (*self.skb).cb[0]).write_volatile(note) };
    }

    /// Says to the hook by which it leaves that nothing is left to do.
    #[inline(always)]
    pub(crate) fn mark_translated(self) {
        // SAFETY: as above; programs at this hook may write here (tc_cls_act_is_valid_access).
        unsafe { (&raw mut (*self.skb).tc_index).write_volatile(TRANSLATED) };
    }

    /// Whether that was said; from now on it was not.
    #[inline(always)]
    pub(crate) fn take_mark(self) -> bool {
        // SAFETY: as above.
        unsafe {
            let is_translated = (*self.skb).tc_index == TRANSLATED;
            if is_translated {
                (&raw mut (*self.skb).tc_index).write_volatile(0);
            }
            is_translated
        }
    }

    /// Whether it carries a VLAN tag: then the VLAN device's own hook sees it as well.
    #[inline(always)]
    pub(crate) fn is_tagged(self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.skb).vlan_present != 0 }
    }

    /// Whether its frame is addressed to this host and to no other, by the device's own address.
    #[inline(always)]
    pub(crate) fn is_addressed_here(self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.skb).pkt_type == PACKET_HOST }
    }

    /// Whether its frame is addressed to more than one host.
    #[inline(always)]
    pub(crate) fn is_to_many(self) -> bool {
        // SAFETY: as above.
        let kind = unsafe { (*self.skb).pkt_type };
        L2 == ETHERNET && (kind == TO_MANY[0] || kind == TO_MANY[1])
    }

    /// The destination of the Ethernet header, where there is one.
    #[inline(always)]
    pub(crate) fn destination_mac(self) -> Option<[u8; 6]> {
        if L2 != ETHERNET {
            return None;
        }
        let [a, b, c]: [u16; 3] = self.read(0)?;
        let [[a, b], [c, d], [e, f]] = [a, b, c].map(u16::to_ne_bytes);
        Some([a, b, c, d, e, f])
    }

    /// Overwrites the destination of the Ethernet header, where there is one.
    #[inline(always)]
    pub(crate) fn set_destination_mac(self, mac: [u8; 6]) -> Option<()> {
        if L2 == ETHERNET {
            self.write(0, mac)
        } else {
            None
        }
    }
}

impl<const L2: usize> Direct for Skb<L2> {
    #[inline(always)]
    fn bounds(self) -> (usize, usize) {
        // SAFETY: as above.
        unsafe {
            (
                (&raw const (*self.skb).data).read_volatile() as usize,
                (&raw const (*self.skb).data_end).read_volatile() as usize,
            )
        }
    }
}

impl<const L2: usize> Bytes for Skb<L2> {
    const IP: usize = L2;
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
        self.segment_bytes() != 0
    }
}

impl<const L2: usize> Packet for Skb<L2> {
    #[inline(always)]
    fn make_accessible(self, length: usize) {
        // Each of these segments is an skb of its own behind the common header. What is pulled of the first
        // one makes it shorter, and the kernel cuts by their lengths (skb_segment in net/core/skbuff.c).
        if self.segment_bytes() == SEVERAL_SIZES {
            return;
        }
        let whole = self.length();
        let wanted = if length < whole { length } else { whole };
        if self.pointer::<u8>(wanted.wrapping_sub(1) & 0xff).is_none() {
            // A packet that cannot be pulled is judged by what is accessible.
            // SAFETY: as above.
            let _ = unsafe { bpf_skb_pull_data(self.skb, wanted as u32) };
        }
    }

    #[inline(always)]
    fn adjust_checksum(self, offset: usize, difference: u32, flags: u64) -> Result<(), ()> {
        // SAFETY: as above; with a size of zero in `flags`, `to` is the difference itself.
        let failed = unsafe {
            bpf_l4_csum_replace(self.skb, offset as u32, 0, u64::from(difference), flags)
        };
        if failed == 0 { Ok(()) } else { Err(()) }
    }

    #[inline(always)]
    fn adjust_sum(self, difference: u32) {
        // Refused where the kernel does not know the sum.
        // SAFETY: as above.
        let _ = unsafe { bpf_csum_update(self.skb, difference) };
    }

    #[inline(always)]
    fn segment_bytes(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.skb).gso_size }
    }

    #[inline(always)]
    fn length(self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.skb).len as usize }
    }

    #[inline(always)]
    fn is_from_host(self) -> bool {
        self.came_in_by() == 0
    }

    #[inline(always)]
    fn came_in_by(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.skb).ingress_ifindex }
    }

    #[inline(always)]
    fn ifindex(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.skb).ifindex }
    }

    #[inline(always)]
    fn context(self) -> *mut core::ffi::c_void {
        self.skb.cast()
    }
}
