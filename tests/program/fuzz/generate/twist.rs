//! What is done to a packet that was well made.

use fastrand::Rng;

use super::{Generator, Handed};
use crate::fuzz::reading::{Reading, TCP, UDP, fill_in};
use crate::world::Context;

/// A change to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::fuzz) enum Twist {
    /// IPv4 options, a chain of IPv6 extension headers, TCP options.
    Options,
    /// A header field says what is not so.
    Lie,
    /// It ends early.
    Cut,
    /// Some bits are other ones.
    Flip,
    /// It goes on as another packet.
    Splice,
    /// The frame is for others, or for many.
    Misaddressed,
    /// The checksum is left to the device.
    Unfilled,
    /// There is no UDP checksum.
    Unchecked,
    /// It stands for many, and says nothing of its length.
    Unlimited,
}

impl Twist {
    pub(in crate::fuzz) const ALL: [Self; 9] = [
        Self::Options,
        Self::Lie,
        Self::Cut,
        Self::Flip,
        Self::Splice,
        Self::Misaddressed,
        Self::Unfilled,
        Self::Unchecked,
        Self::Unlimited,
    ];

    pub(super) fn any(rng: &mut Rng) -> Self {
        match rng.u8(..20) {
            0..5 => Self::Options,
            5..9 => Self::Lie,
            9..11 => Self::Cut,
            11..14 => Self::Flip,
            14 => Self::Splice,
            15 => Self::Misaddressed,
            16 => Self::Unfilled,
            17..19 => Self::Unchecked,
            _ => Self::Unlimited,
        }
    }
}

impl Generator<'_> {
    pub(super) fn twist(&mut self, twist: Twist, handed: &mut Handed) {
        let ip = self.ip_at(handed.gate);
        let bytes = &mut handed.bytes;
        match twist {
            Twist::Options => self.options(bytes, ip),
            Twist::Lie => self.lie(bytes, ip),
            Twist::Cut => bytes.truncate(self.rng.usize(14..=bytes.len().max(14))),
            Twist::Flip => {
                for _ in 0..self.rng.u8(1..8) {
                    let at = self.rng.usize(ip..bytes.len().min(ip + 140));
                    bytes[at] ^= 1 << self.rng.u8(..8);
                }
                self.maybe_fill_in(bytes, ip);
            }
            Twist::Splice => {
                let (_, other) = self.request();
                let other = self.linked(handed.gate, other).bytes();
                let at = self.rng.usize(ip..bytes.len().min(other.len()));
                bytes.truncate(at);
                bytes.extend(&other[at..]);
                self.maybe_fill_in(bytes, ip);
            }
            Twist::Misaddressed => {
                if ip > 0 {
                    let mac = match self.rng.u8(..3) {
                        0 => [0xff; 6],
                        1 => [1, 0, 0x5e, 0, 0, 1],
                        _ => [2, 0, 0, 0, 0, 9],
                    };
                    bytes[..6].copy_from_slice(&mac);
                }
            }
            Twist::Unfilled => {
                if let Some(reading) = Reading::of(bytes, ip)
                    && let Some(field) = reading.checksum()
                {
                    match reading.left_to_device(bytes) {
                        Some(sum) => bytes[field].copy_from_slice(&sum.to_be_bytes()),
                        None => bytes[field].fill(0),
                    }
                }
            }
            Twist::Unchecked => {
                if let Some(reading) = Reading::of(bytes, ip)
                    && reading.protocol == UDP
                    && let Some(field) = reading.checksum()
                {
                    bytes[field].fill(0);
                }
            }
            Twist::Unlimited => {
                let at = if bytes[ip] >> 4 == 4 { ip + 2 } else { ip + 4 };
                bytes[at..at + 2].fill(0);
                fill_in(bytes, ip);
                handed.context = Context {
                    gso_size: self.rng.u32(1..1400),
                    ..handed.context
                };
            }
        }
    }

    /// A liar may do its sums.
    fn maybe_fill_in(&mut self, bytes: &mut [u8], ip: usize) {
        if self.rng.u8(..3) > 0 {
            fill_in(bytes, ip);
        }
    }

    fn options(&mut self, bytes: &mut Vec<u8>, ip: usize) {
        let Some(reading) = Reading::of(bytes, ip) else {
            return;
        };
        if reading.protocol == TCP && self.rng.u8(..3) == 0 {
            self.tcp_options(bytes, &reading);
        } else if reading.is_v4() {
            let words = self.rng.u8(1..=10);
            if usize::from(bytes[ip] & 0xf) != 5 {
                return;
            }
            let mut options = vec![1; usize::from(words) * 4];
            if self.rng.bool() {
                self.rng.fill(&mut options);
            }
            bytes[ip] += words;
            add(bytes, ip + 2, options.len());
            bytes.splice(ip + 20..ip + 20, options);
        } else {
            for _ in 0..self.rng.u8(1..7) {
                self.extension(bytes, ip);
            }
        }
        fill_in(bytes, ip);
    }

    /// Puts an IPv6 extension header before all others.
    fn extension(&mut self, bytes: &mut Vec<u8>, ip: usize) {
        let kind = [0, 43, 44, 60, 60, 60, 51, 135, 139, 140, 59][self.rng.usize(..11)];
        let units = match self.rng.u8(..4) {
            0 => self.rng.u8(..6),
            _ => 0,
        };
        let mut header = vec![0; (usize::from(units) + 1) * 8];
        // PadN over the rest, or whatever.
        let rest = u8::try_from(header.len() - 4).unwrap();
        header[2..4].copy_from_slice(&[1, rest]);
        if self.rng.u8(..4) == 0 {
            self.rng.fill(&mut header);
        }
        header[0] = bytes[ip + 6];
        header[1] = units;
        match kind {
            43 => header[2..4].copy_from_slice(&[253, self.rng.u8(..8) / 7]),
            44 if self.rng.bool() => header[2..4].fill(0),
            _ => {}
        }
        bytes[ip + 6] = kind;
        add(bytes, ip + 4, header.len());
        bytes.splice(ip + 40..ip + 40, header);
    }

    fn tcp_options(&mut self, bytes: &mut Vec<u8>, reading: &Reading) {
        let at = reading.transport + 12;
        if at >= bytes.len() || bytes[at] >> 4 != 5 {
            return;
        }
        let words = self.rng.u8(1..=10);
        let mut options = vec![1; usize::from(words) * 4];
        self.rng.fill(&mut options);
        bytes[at] += words << 4;
        let length = if reading.is_v4() { 2 } else { 4 };
        add(bytes, reading.ip + length, options.len());
        bytes.splice(at + 8..at + 8, options);
    }

    fn lie(&mut self, bytes: &mut [u8], ip: usize) {
        let Some(reading) = Reading::of(bytes, ip) else {
            return;
        };
        let is_v4 = reading.is_v4();
        let any = self.rng.u8(..);
        let length = self.rng.u16(..).to_be_bytes();
        let near = u16::try_from(bytes.len() - ip).unwrap_or(u16::MAX);
        let near = near.wrapping_add(self.rng.u16(..120)).wrapping_sub(60);
        let transport = reading.transport;
        let mut write = |at: usize, what: &[u8]| {
            if let Some(bytes) = bytes.get_mut(at..at + what.len()) {
                bytes.copy_from_slice(what);
            }
        };
        match (any % 10, is_v4) {
            // IHL, or version.
            (0, true) => write(ip, &[0x40 | self.rng.u8(..16)]),
            (0, false) => write(ip, &[self.rng.u8(..)]),
            (1 | 2, true) => write(ip + 2, &near.to_be_bytes()),
            (1 | 2, false) => write(ip + 4, &near.wrapping_sub(40).to_be_bytes()),
            (3, true) => write(ip + 2, &length),
            (3, false) => write(ip + 4, &length),
            (4, true) => write(ip + 9, &[any]),
            (4, false) => write(ip + 6, &[any]),
            // TCP's data offset, UDP's length; both.
            (5, _) => write(transport + 12, &[any]),
            (6, _) => write(transport + 4, &length),
            (7, true) => write(ip + 8, &[any % 3]),
            (7, false) => write(ip + 7, &[any % 3]),
            // Fragment bits and offset.
            (8, true) => write(ip + 6, &length),
            _ => write(transport + 13, &[self.rng.u8(..)]),
        }
        self.maybe_fill_in(bytes, ip);
    }
}

/// Adds to a length of 16 bits.
fn add(bytes: &mut [u8], at: usize, more: usize) {
    let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let new = old.wrapping_add(u16::try_from(more).unwrap());
    bytes[at..at + 2].copy_from_slice(&new.to_be_bytes());
}
