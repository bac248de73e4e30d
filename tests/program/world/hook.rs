//! One program at one hook of one device.

use std::collections::BTreeMap;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{SchedClassifier, loaded_programs};
use aya::{TestRun as _, TestRunOptions};
use netproxy::datapath::{Counters, Pins};
use netproxy_common::Counter;

use super::outcome::Outcome;

/// Offsets in `struct __sk_buff` of uapi/linux/bpf.h, in 32-bit words.
const WORDS: usize = 48;
const INGRESS_IFINDEX: usize = 9;
const IFINDEX: usize = 10;
const GSO_SIZE: usize = 44;

/// An attached program.
pub(crate) struct Hook {
    program: SchedClassifier,
    ifindex: u32,
    has_link_layer: bool,
    counters: Counters,
}

/// What the kernel knows of a packet beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    /// The device it came in by; zero: a process of this node sent it.
    pub(crate) came_in_by: u32,
    /// The segment size of a packet that stands for many; zero: it stands for itself.
    pub(crate) gso_size: u32,
}

impl Hook {
    /// The program behind the pinned link of a device.
    pub(crate) fn open(pins: &Pins, ifindex: u32, direction: &str, has_link_layer: bool) -> Self {
        let pin = pins.links().join(format!("{ifindex}-{direction}"));
        Self {
            program: program_of(&pin),
            ifindex,
            has_link_layer,
            counters: Counters::open(pins).unwrap(),
        }
    }

    /// The device's number.
    pub(crate) fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Hands the program a packet.
    #[must_use]
    pub(crate) fn run(&self, packet: impl Into<Vec<u8>>, about: Context) -> Outcome {
        let input = packet.into();
        let before = self.counts();
        let (code, output) = self.run_uncounted(&input, about);
        Outcome {
            code,
            input,
            output,
            has_link_layer: self.has_link_layer,
            counted: self.counted_since(&before),
        }
    }

    /// Hands the program the same packet again and again, as fast as it takes them, until `is_over`,
    /// and yields what was counted meanwhile.
    pub(crate) fn flood(
        &self,
        packet: impl Into<Vec<u8>>,
        mut is_over: impl FnMut(&BTreeMap<Counter, u64>) -> bool,
    ) -> BTreeMap<Counter, u64> {
        /// Between two looks at the counters, which take longer than the packet.
        const TURN: usize = 32;
        let packet = packet.into();
        let about = Context {
            came_in_by: self.ifindex,
            ..Context::default()
        };
        let before = self.counts();
        loop {
            for _ in 0..TURN {
                let _ = self.run_uncounted(&packet, about);
            }
            let counted = self.counted_since(&before);
            if is_over(&counted) {
                return counted;
            }
        }
    }

    /// The program's return code, and the packet as it came out.
    fn run_uncounted(&self, packet: &[u8], about: Context) -> (i32, Vec<u8>) {
        let mut context = [0_u32; WORDS];
        context[INGRESS_IFINDEX] = about.came_in_by;
        context[IFINDEX] = self.ifindex;
        context[GSO_SIZE] = about.gso_size;
        let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut output = vec![0; packet.len() + 256];
        let result = self
            .program
            .test_run(TestRunOptions {
                data_in: Some(packet),
                data_out: Some(&mut output),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            })
            .unwrap_or_else(|error| {
                panic!(
                    "the kernel refuses to run {} bytes ({about:?}): {error:?}",
                    packet.len()
                )
            });
        output.truncate(result.data_size_out as usize);
        (result.return_value.cast_signed(), output)
    }

    fn counted_since(&self, before: &BTreeMap<Counter, u64>) -> BTreeMap<Counter, u64> {
        let mut counted = self.counts();
        for (counter, count) in &mut counted {
            *count -= before[counter];
        }
        counted.retain(|_, count| *count > 0);
        counted
    }

    fn counts(&self) -> BTreeMap<Counter, u64> {
        Counter::ALL
            .iter()
            .map(|counter| (*counter, self.counters.get(*counter).unwrap()))
            .collect()
    }
}

fn program_of(pin: &Path) -> SchedClassifier {
    let link = FdLink::from(PinnedLink::from_pin(pin).unwrap());
    let id = link.info().unwrap().program_id();
    let info = loaded_programs()
        // Other programs come and go while they are listed.
        .filter_map(Result::ok)
        .find(|info| info.id() == id)
        .expect("the program of a pinned link is loaded");
    SchedClassifier::from_program_info(info, "attached".into()).unwrap()
}
