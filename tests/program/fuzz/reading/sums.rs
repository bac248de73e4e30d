//! What the checksums of a packet add up to.

use crc::{CRC_32_ISCSI, Crc};

use super::{ICMP, ICMPV6, Reading, SCTP, TCP, UDP, word};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

impl Reading {
    /// The sum over all that the header checksum covers; zero: it is right. None: there is none.
    pub(in crate::fuzz) fn header_sum(&self, bytes: &[u8]) -> Option<u16> {
        let end = self.ip + usize::from(bytes[self.ip] & 0xf) * 4;
        let header = self.ip..end.min(bytes.len());
        self.is_v4().then(|| sum(&[&bytes[header]]))
    }

    /// By how much the transport checksum is off, as far as what it covers is there; zero: it is right.
    /// None: there is none, or it says so itself.
    pub(in crate::fuzz) fn transport_sum(&self, bytes: &[u8]) -> Option<u32> {
        let field = self.checksum()?;
        let says_none = bytes[field.clone()].iter().all(|byte| *byte == 0);
        let covered = &bytes[self.transport..self.end];
        match self.protocol {
            UDP if says_none => None,
            SCTP if self.is_quoted && says_none => None,
            SCTP => self.crc32c_off(bytes),
            ICMP => Some(sum(&[covered]).into()),
            _ => Some(sum(&[&self.pseudo_header(bytes), covered]).into()),
        }
    }

    /// The checksum of SCTP, and what it should be, in exclusive or. It covers as much as the IP header says
    /// there is. None: a fragment's, which cannot be told from the fragment.
    fn crc32c_off(&self, bytes: &[u8]) -> Option<u32> {
        let field = self.checksum()?;
        let whole = self.declared_end?.checked_sub(self.transport)?;
        if whole < 12 || (self.piece != super::Piece::Whole && !self.is_quoted) {
            return None;
        }
        let there = whole.min(self.end - self.transport);
        let mut covered = bytes[self.transport..self.transport + there].to_vec();
        covered[8..12].fill(0);
        covered.resize(whole, 0);
        let found: [u8; 4] = bytes[field].try_into().unwrap();
        Some(CRC32C.checksum(&covered) ^ u32::from_le_bytes(found))
    }

    /// What a process leaves in the checksum's place for the device that fills it in: the sum of the pseudo
    /// header. SCTP's have none.
    pub(in crate::fuzz) fn left_to_device(&self, bytes: &[u8]) -> Option<u16> {
        matches!(self.protocol, TCP | UDP | ICMPV6).then(|| sum(&[&self.pseudo_header(bytes)]))
    }

    /// Whether the checksum looks as if it were left to the device, be the length that of the packet or what
    /// its IP header says. From the wire one in 65 536 packets does.
    pub(in crate::fuzz) fn looks_left_to_device(&self, bytes: &[u8]) -> bool {
        let (Some(field), true) = (self.checksum(), matches!(self.protocol, TCP | UDP)) else {
            return false;
        };
        let found = word(bytes, field.start).map(|sum| sum % 0xffff);
        let ends = [Some(self.end), Some(bytes.len()), self.declared_end];
        ends.into_iter().flatten().any(|end| {
            let reading = Self {
                end,
                ..self.clone()
            };
            found == Some(sum(&[&reading.pseudo_header(bytes)]))
        })
    }

    fn pseudo_header(&self, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(self.end - self.transport).unwrap();
        let mut header = bytes[self.addresses()].to_vec();
        header.extend(length.to_be_bytes());
        header.extend([0, self.protocol]);
        header
    }
}

/// The complement of the Internet checksum of `parts`, each but the last of even length (RFC 1071), with
/// one zero: both of its zeros are zero.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        let mut words = part.chunks_exact(2);
        for word in &mut words {
            sum += u64::from(u16::from_be_bytes([word[0], word[1]]));
        }
        if let [last] = words.remainder() {
            sum += u64::from(*last) << 8;
        }
    }
    u16::try_from(sum % 0xffff).unwrap()
}

/// Makes the checksums of the IP packet at `ip` right, where it has some.
pub(in crate::fuzz) fn fill_in(bytes: &mut [u8], ip: usize) {
    let Some(reading) = Reading::of(bytes, ip) else {
        return;
    };
    if let Some(off) = reading.header_sum(bytes) {
        correct(bytes, ip + 10, off);
    }
    let (Some(field), Some(off)) = (reading.checksum(), reading.transport_sum(bytes)) else {
        return;
    };
    if reading.protocol == SCTP {
        for (byte, off) in bytes[field].iter_mut().zip(off.to_le_bytes()) {
            *byte ^= off;
        }
    } else {
        correct(bytes, field.start, u16::try_from(off).unwrap());
    }
}

/// Takes `off` from the word at `at`, in one's complement.
fn correct(bytes: &mut [u8], at: usize, off: u16) {
    let old = u32::from(word(bytes, at).unwrap());
    let new = (old + 0xffff - u32::from(off)) % 0xffff;
    // Never zero, which UDP takes for none.
    let new = if new == 0 { 0xffff } else { new };
    bytes[at..at + 2].copy_from_slice(&u16::try_from(new).unwrap().to_be_bytes());
}
