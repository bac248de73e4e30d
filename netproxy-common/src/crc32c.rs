//! How the CRC32c of a message changes with its first four bytes, whatever follows them (RFC 9260,
//! appendix A; RFC 3309).
//!
//! A CRC is linear: those of two messages of one length differ by the remainder of their difference, and
//! a byte of zeros behind a difference multiplies it by x⁸. So the bytes that stay the same need not be
//! read, and a wrong CRC stays wrong by as much as before.

/// Castagnoli's polynomial without x³². Here and below, the lowest bit is the coefficient of x³¹, as bytes
/// are sent with the lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// One.
const X_TO_0: u32 = 1 << 31;

/// x⁸ⁿ for each byte n; then x²⁰⁴⁸ⁿ, for the upper byte of a length.
const POWERS: [[u32; 256]; 2] = {
    let x_to_8 = times_x(X_TO_0, 8);
    [powers(x_to_8), powers(times_x(X_TO_0, 8 * 256))]
};

/// What turns the CRC32c of a message of `length` bytes, four at least, into that of the message whose first
/// four bytes differ by `difference`, by exclusive or. Both stand as in an SCTP packet; `length` includes
/// the checksum, which counts as zero.
#[must_use]
#[inline(always)]
pub const fn change(difference: [u8; 4], length: u16) -> [u8; 4] {
    let [low, high] = length.to_le_bytes();
    let difference = u32::from_le_bytes(difference);
    let shifted = product(difference, POWERS[0][low as usize]);
    product(shifted, POWERS[1][high as usize]).to_le_bytes()
}

/// Without a branch, and in as many steps whatever the numbers are: the verifier walks each step once.
#[inline(always)]
const fn product(left: u32, right: u32) -> u32 {
    let (mut product, mut left, mut right) = (0, left, right);
    let mut step = 0;
    while step < u32::BITS {
        product ^= right & (left >> 31).wrapping_neg();
        left <<= 1;
        right = times_x(right, 1);
        step += 1;
    }
    product
}

/// `number` multiplied by a power of x.
#[inline(always)]
const fn times_x(mut number: u32, power: u32) -> u32 {
    let mut step = 0;
    while step < power {
        number = (number >> 1) ^ (POLYNOMIAL & (number & 1).wrapping_neg());
        step += 1;
    }
    number
}

const fn powers(of: u32) -> [u32; 256] {
    let mut powers = [X_TO_0; 256];
    let mut power = 1;
    while power < powers.len() {
        powers[power] = product(powers[power - 1], of);
        power += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use crc::{CRC_32_ISCSI, Crc};
    use proptest::prelude::*;

    use super::change;

    fn crc32c(message: &[u8]) -> [u8; 4] {
        Crc::<u32>::new(&CRC_32_ISCSI)
            .checksum(message)
            .to_le_bytes()
    }

    fn xor(left: [u8; 4], right: [u8; 4]) -> [u8; 4] {
        (u32::from_ne_bytes(left) ^ u32::from_ne_bytes(right)).to_ne_bytes()
    }

    /// The most that an IP packet can carry.
    const MOST: usize = 65_515;

    proptest! {
        #[test]
        fn a_change_is_that_of_the_whole_messages_crc(
            message in prop_oneof![
                prop::collection::vec(any::<u8>(), 4..600),
                prop::collection::vec(any::<u8>(), 4..=MOST),
            ],
            first in any::<[u8; 4]>(),
        ) {
            let (old, length) = ([message[0], message[1], message[2], message[3]], message.len());
            let changed: Vec<u8> = first.iter().chain(&message[4..]).copied().collect();

            let difference = change(xor(old, first), u16::try_from(length).unwrap());

            prop_assert_eq!(xor(crc32c(&message), difference), crc32c(&changed));
        }
    }

    #[test]
    fn every_length_is_reckoned_right() {
        // One bit, and zeros: the register of a CRC without its ends, byte by byte.
        let first = [1, 0, 0, 0];
        let mut expected = xor(crc32c(&[0; 4]), crc32c(&first));

        for length in 4..=u16::MAX {
            assert_eq!(change(first, length), expected, "{length} bytes");
            let number = u32::from_le_bytes(expected);
            expected = super::times_x(number, 8).to_le_bytes();
        }
    }
}
