//! One program at one hook of one device.

use std::collections::BTreeMap;
use std::process::Command;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{ProgramError, SchedClassifier, loaded_programs};
use aya::{TestRun as _, TestRunOptions};
use netproxy::datapath::{Counters, Pins};
use netproxy_common::Counter;
use serde_json::Value;

use super::outcome::Outcome;

/// Offsets in `struct __sk_buff` of uapi/linux/bpf.h, in 32-bit words.
const WORDS: usize = 48;
const INGRESS_IFINDEX: usize = 9;
const IFINDEX: usize = 10;
const GSO_SEGS: usize = 41;
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
        let id = if pin.exists() {
            FdLink::from(PinnedLink::from_pin(&pin).unwrap())
                .info()
                .unwrap()
                .program_id()
        } else {
            id_of_filter(ifindex, direction)
        };
        Self {
            program: program(id),
            ifindex,
            has_link_layer,
            counters: Counters::open(pins).unwrap(),
        }
    }

    /// The device's number.
    pub(crate) fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Whether its packets start with an Ethernet header.
    pub(crate) fn has_link_layer(&self) -> bool {
        self.has_link_layer
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

    fn run_uncounted(&self, packet: &[u8], about: Context) -> (i32, Vec<u8>) {
        self.try_run(packet, about).unwrap_or_else(|error| {
            panic!(
                "the kernel refuses to run {} bytes ({about:?}): {error:?}",
                packet.len()
            )
        })
    }

    /// The program's return code, and the packet as it came out. Nothing is counted.
    ///
    /// # Errors
    /// The kernel does not run it: the packet is shorter than the headers that it wants to see.
    pub(crate) fn try_run(
        &self,
        packet: &[u8],
        about: Context,
    ) -> Result<(i32, Vec<u8>), ProgramError> {
        let mut context = [0_u32; WORDS];
        context[INGRESS_IFINDEX] = about.came_in_by;
        context[IFINDEX] = self.ifindex;
        context[GSO_SIZE] = about.gso_size;
        if about.gso_size != 0 {
            let bytes = u32::try_from(packet.len()).unwrap_or(u32::MAX);
            context[GSO_SEGS] = bytes.div_ceil(about.gso_size);
        }
        let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut output = vec![0; packet.len() + 256];
        let result = self.program.test_run(TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut output),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        })?;
        output.truncate(result.data_size_out as usize);
        Ok((result.return_value.cast_signed(), output))
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

fn program(id: u32) -> SchedClassifier {
    let info = loaded_programs()
        // Other programs come and go while they are listed.
        .filter_map(Result::ok)
        .find(|info| info.id() == id)
        .expect("an attached program is loaded");
    SchedClassifier::from_program_info(info, "attached".into()).unwrap()
}

/// The id of the program of a device's only filter, where the kernel has no tcx.
fn id_of_filter(ifindex: u32, direction: &str) -> u32 {
    let output = Command::new("bpftool")
        .args(["-j", "net", "show"])
        .output()
        .expect("bpftool: cargo xtask setup");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("bpftool prints JSON");
    let filters = shown[0]["tc"].as_array().expect("a list of filters");
    let filter = filters
        .iter()
        .find(|filter| {
            let kind = filter["kind"].as_str().unwrap_or_default();
            filter["ifindex"] == ifindex && kind.ends_with(direction)
        })
        .unwrap_or_else(|| panic!("device {ifindex} has no filter at {direction}: {shown}"));
    let id = filter["id"].as_u64().expect("the program's id");
    u32::try_from(id).expect("an id of 32 bits")
}
