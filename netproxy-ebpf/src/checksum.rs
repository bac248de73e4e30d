//! Sums in one's complement, as Internet checksums are made of (RFC 1071, RFC 1624).

/// A sum of 32 bits or more, in 32 bits, as the kernel's `__wsum`.
#[inline(always)]
pub(crate) fn fold(sum: u64) -> u32 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    ((sum & 0xffff_ffff) + (sum >> 32)) as u32
}

/// A sum in 16 bits.
#[inline(always)]
pub(crate) fn fold_short(sum: u64) -> u16 {
    let sum = u64::from(fold(sum));
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// What two bytes at an even offset add.
#[inline(always)]
pub(crate) fn word(bytes: [u8; 2]) -> u64 {
    u64::from(u16::from_ne_bytes(bytes))
}

/// What takes two bytes at an even offset away.
#[inline(always)]
pub(crate) fn complement(bytes: [u8; 2]) -> u64 {
    u64::from(!u16::from_ne_bytes(bytes))
}
