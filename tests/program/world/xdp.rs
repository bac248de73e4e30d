//! The XDP program of a device, and what it made of a frame.

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{Xdp, loaded_programs};
use aya::{TestRun as _, TestRunOptions};
use aya_obj::programs::XdpAttachType;
use netproxy::datapath::Pins;

use super::packet::Packet;
use super::topology::{NODE_MAC, PEER_MAC};

/// Of `enum xdp_action` in uapi/linux/bpf.h.
const PASS: u32 = 2;
const TX: u32 = 3;
const REDIRECT: u32 = 4;

/// An attached program.
pub(super) struct XdpHook {
    program: Xdp,
    ifindex: u32,
}

/// What became of a frame.
#[derive(Debug)]
pub(crate) struct Framed {
    code: u32,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl XdpHook {
    /// The program behind the pinned link of a device.
    pub(super) fn open(pins: &Pins, ifindex: u32) -> Self {
        let pin = pins.links().join(format!("{ifindex}-xdp-generic"));
        let link = FdLink::from(PinnedLink::from_pin(&pin).unwrap());
        let id = link.info().unwrap().program_id();
        let info = loaded_programs()
            // Other programs come and go while they are listed.
            .filter_map(Result::ok)
            .find(|info| info.id() == id)
            .expect("an attached program is loaded");
        Self {
            program: Xdp::from_program_info(info, "attached".into(), XdpAttachType::Interface)
                .unwrap(),
            ifindex,
        }
    }

    /// Hands the program a frame.
    pub(super) fn run(&self, frame: impl Into<Vec<u8>>) -> Framed {
        let input = frame.into();
        let mut output = vec![0; input.len() + 256];
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let end = u32::try_from(input.len()).unwrap();
        let context: Vec<u8> = [0, end, 0, self.ifindex, 0, 0]
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect();
        let result = self
            .program
            .test_run(TestRunOptions {
                data_in: Some(&input),
                data_out: Some(&mut output),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            })
            .unwrap();
        output.truncate(result.data_size_out as usize);
        Framed {
            code: result.return_value,
            input,
            output,
        }
    }
}

impl Framed {
    /// It goes on to tc, byte for byte as it came.
    #[track_caller]
    pub(crate) fn stays_for_tc(self) {
        assert_eq!(self.code, PASS, "{self:?}");
        assert_eq!(self.output, self.input, "{self:?}");
    }

    /// It goes back out by the device, as this packet, to the router there.
    #[track_caller]
    pub(crate) fn leaves_as(self, expected: &Packet) {
        assert_eq!(self.code, TX, "{self:?}");
        self.looks_like(expected);
    }

    /// It leaves by another device, as this packet.
    #[track_caller]
    pub(crate) fn leaves_elsewhere_as(self, expected: &Packet) {
        assert_eq!(self.code, REDIRECT, "{self:?}");
        self.looks_like(expected);
    }

    #[track_caller]
    fn looks_like(&self, expected: &Packet) {
        let expected: Vec<u8> = expected.into();
        let macs = [PEER_MAC, NODE_MAC].concat();
        assert_eq!(self.output[..12], macs, "{self:?}");
        assert_eq!(self.output[12..], expected[12..], "{self:?}");
    }
}
