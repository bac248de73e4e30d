//! Handing a packet to a program that is attached to a device, by `BPF_PROG_TEST_RUN`: the program does what it
//! always does, to the maps as well, and the kernel does nothing with what becomes of the packet.

use std::path::PathBuf;

use aya::programs::{ProgramError, SchedClassifier};
use aya::{TestRun as _, TestRunOptions};
use netproxy_common::Counter;

use super::link::Link;
use super::load::is_kernel;
use super::tc::Direction;
use super::{DatapathError, Pins};

/// `struct __sk_buff` of uapi/linux/bpf.h in 32-bit words, and offsets in it.
const WORDS: usize = 48;
const INGRESS_IFINDEX: usize = 9;
const IFINDEX: usize = 10;
const CB: usize = 12;
/// `TC_ACT_SHOT` and `TC_ACT_REDIRECT` of `uapi/linux/pkt_cls.h`.
const SHOT: u32 = 2;
const REDIRECT: u32 = 7;
/// A packet may become an ICMP error, which is longer.
const SPARE_BYTES: usize = 256;

/// The program at one hook of a device.
#[derive(Debug)]
pub struct Hook {
    program: SchedClassifier,
    pin: PathBuf,
    ifindex: u32,
    is_attached: Option<bool>,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What the program asks of the kernel.
    pub action: Action,
    /// The packet, as the program left it.
    pub packet: Vec<u8>,
}

/// What a program asks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To go on with the packet.
    Pass,
    /// To send it elsewhere.
    Redirect,
    /// To drop it; for the reason, which a program of another release may not tell.
    Drop(Option<Counter>),
}

impl Hook {
    /// The program of a device's hook. A test run puts an Ethernet header in front, so of a device without
    /// one it is the same program for devices that have it.
    ///
    /// # Errors
    /// [`DatapathError::NoProgram`]: none is pinned.
    pub fn open(
        pins: &Pins,
        ifindex: u32,
        direction: Direction,
        has_link_layer: bool,
    ) -> Result<Self, DatapathError> {
        let pin = pins.programs().join(direction.program(true));
        if !pin.exists() {
            return Err(DatapathError::NoProgram { path: pin });
        }
        let program = open(&pin)?;
        let named = pins.programs().join(direction.program(has_link_layer));
        let own = if has_link_layer {
            program.info().ok()
        } else {
            SchedClassifier::from_pin(named)
                .and_then(|program| program.info())
                .ok()
        };
        let link = pins.links().join(format!("{ifindex}-{}", direction.name()));
        let linked = Link::open(&link).ok().flatten();
        let linked = linked.and_then(|link| link.info().ok());
        Ok(Self {
            program,
            pin,
            ifindex,
            is_attached: linked.zip(own).map(|(link, own)| link.program == own.id()),
        })
    }

    /// Whether it is the one that the device's link holds; None where there is no link: by clsact.
    #[must_use]
    pub const fn is_attached(&self) -> Option<bool> {
        self.is_attached
    }

    /// Hands it a packet, from its Ethernet header on, that came in by this device; zero: a process of this node
    /// has sent it.
    pub fn run(&self, packet: &[u8], came_in_by: u32) -> Result<Ran, DatapathError> {
        let mut context = [0_u32; WORDS];
        context[INGRESS_IFINDEX] = came_in_by;
        context[IFINDEX] = self.ifindex;
        let mut left = [0_u32; WORDS];
        let mut room = vec![0; packet.len() + SPARE_BYTES];
        let result = self
            .program
            .test_run(TestRunOptions {
                data_in: Some(packet),
                data_out: Some(&mut room),
                ctx_in: Some(bytemuck::cast_slice(&context)),
                ctx_out: Some(bytemuck::cast_slice_mut(&mut left)),
                ..TestRunOptions::default()
            })
            .map_err(|error| self.refused(error))?;
        room.truncate(usize::try_from(result.data_size_out).unwrap_or(0));
        Ok(Ran {
            action: match result.return_value {
                SHOT => Action::Drop(reason(left[CB])),
                REDIRECT => Action::Redirect,
                _ => Action::Pass,
            },
            packet: room,
        })
    }

    fn refused(&self, error: ProgramError) -> DatapathError {
        not_opened(self.pin.clone(), error)
    }
}

/// Whether a program that is run so is left alone by those that packets run at the same time: they share the room of
/// a CPU, and before Linux 6.3 softirqs are not held back meanwhile (`bpf_test_run` in `net/bpf/test_run.c`).
#[must_use]
pub fn are_runs_undisturbed() -> bool {
    is_kernel(6, 3)
}

fn open(pin: &std::path::Path) -> Result<SchedClassifier, DatapathError> {
    SchedClassifier::from_pin(pin).map_err(|error| not_opened(pin.to_owned(), error))
}

fn not_opened(path: PathBuf, error: ProgramError) -> DatapathError {
    let source = match error {
        ProgramError::SyscallError(error) => error.io_error,
        other => std::io::Error::other(other),
    };
    DatapathError::NotRun { path, source }
}

/// The counter of this number, if it is one of drops.
fn reason(number: u32) -> Option<Counter> {
    let reason = Counter::ALL.get(usize::try_from(number).ok()?)?;
    reason.is_drop().then_some(*reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_drop_has_a_reason() {
        assert_eq!(reason(Counter::NoRoute as u32), Some(Counter::NoRoute));
        assert_eq!(reason(Counter::NewFlow as u32), None);
        assert_eq!(reason(u32::MAX), None);
    }
}
