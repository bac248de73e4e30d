//! What an ICMP error quotes of the packet that it is about.

use core::marker::PhantomData;

use super::{Bytes, Packet};
use crate::family::Family;
use crate::icmp;

/// What `packet`, an ICMP error of family `F` without IP options or extension headers, quotes.
pub(crate) struct Quoted<F, P> {
    packet: P,
    family: PhantomData<F>,
}

impl<F: Family, P: Packet> Quoted<F, P> {
    #[inline(always)]
    pub(crate) fn by(packet: P) -> Self {
        Self {
            packet,
            family: PhantomData,
        }
    }
}

// Derived, they would ask as much of the family.
impl<F, P: Copy> Copy for Quoted<F, P> {}
impl<F, P: Copy> Clone for Quoted<F, P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Family, P: Packet> Bytes for Quoted<F, P> {
    const IP: usize = P::IP + F::HEADER_BYTES + icmp::HEADER_BYTES;
    const ARE_QUOTED: bool = true;

    #[inline(always)]
    fn read<T: Copy>(self, offset: usize) -> Option<T> {
        self.packet.read(offset)
    }

    #[inline(always)]
    fn write<T: Copy>(self, offset: usize, value: T) -> Option<()> {
        self.packet.write(offset, value)
    }

    /// Who quotes it may have seen its segments in one.
    #[inline(always)]
    fn are_segmented(self) -> bool {
        true
    }
}
