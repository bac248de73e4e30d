//! `packet-cost`: what a packet costs in netproxy's programs alone, by `BPF_PROG_TEST_RUN`.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::{Context, Result, bail, ensure};
use aya::{TestRun as _, TestRunOptions, programs::SchedClassifier};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use netproxy_lab::{Node, Place};

use super::{Pace, Scenario};
use crate::{
    arena::Arena,
    cpu,
    device::Device,
    measurement::{Sample, median},
    system::System,
    web::{Way, What},
};

/// `struct __sk_buff` of uapi/linux/bpf.h in 32-bit words, and offsets in it.
const WORDS: usize = 48;
const INGRESS_IFINDEX: usize = 9;
const IFINDEX: usize = 10;
/// A packet may become longer.
const SPARE_BYTES: usize = 256;
/// How often a packet runs at once that comes out as it went in.
const REPEAT: u32 = 200_000;
const FIRST_PORT: u16 = 20_000;
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SEQUENCE: u32 = 1;
const WINDOW: u16 = 65_000;
const TTL: u8 = 64;

#[derive(Debug)]
pub(crate) struct PacketCost;

impl Scenario for PacketCost {
    fn name(&self) -> &'static str {
        "packet-cost"
    }

    fn about(&self) -> &'static str {
        "How long a TCP packet is in a tc program, by BPF_PROG_TEST_RUN: medians of runs of one packet each, with what \
         the clock takes; and how many instructions the verifier walked. A bystander asks for no service. A pod's \
         packet is met at its device, and the answer to it there and at the uplink; an outside client's and its answer \
         at the uplink"
    }

    fn systems(&self) -> &'static [System] {
        &[System::NetproxyTc]
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn run(&self, arena: &Arena<'_>, system: System, pace: Pace) -> Result<Vec<Sample>> {
        let count = pace.choose(2_000, 200);
        let (pod, cluster_ip) = arena.road(system, Way::ClusterIp, What::Http(0))?;
        let (outside, node_port) = arena.road(system, Way::NodePortRemote, What::Http(0))?;
        let (_, bystander) = arena.bypass(system, What::Http(0))?;
        let node = arena.node(system)?;
        let at_pod = Device::find(&node, &arena.host_device(system)?)?;
        let at_uplink = Device::find(&node, "eth0")?;
        let ingress = Program::open(&node, "tc_ingress")?;
        let egress = Program::open(&node, "tc_egress")?;
        let from_pod = Conversation {
            client: pod.ipv4(),
            frontend: v4(cluster_ip)?,
            requests: (&ingress, &at_pod),
            names: ["pod's first packet", "pod's packet of a known flow"],
            answers: &[
                (
                    "answer to a pod at the uplink's ingress",
                    &ingress,
                    &at_uplink,
                ),
                ("answer to a pod at its device's egress", &egress, &at_pod),
            ],
        };
        let from_outside = Conversation {
            client: outside.ipv4(),
            frontend: v4(node_port)?,
            requests: (&ingress, &at_uplink),
            names: ["client's first packet", "client's packet of a known flow"],
            answers: &[(
                "answer to a client at the uplink's ingress",
                &ingress,
                &at_uplink,
            )],
        };
        node.namespace().inside(|| {
            cpu::bind_thread(cpu::CLIENT)?;
            let client = SocketAddrV4::new(from_pod.client, FIRST_PORT);
            let passing = at_pod.packet(client, v4(bystander)?, Segment::Later);
            let mut once = Vec::new();
            for _ in 0..count {
                once.push(ingress.run(&passing, &at_pod, 1)?.0);
            }
            let (often, _) = ingress.run(&passing, &at_pod, REPEAT)?;
            let mut samples = vec![
                Sample::new("bystander at ingress, one after the other", "ns", often),
                Sample::new("bystander at ingress", "ns", middle(once)),
            ];
            samples.extend(from_pod.measure(count)?);
            samples.extend(from_outside.measure(count)?);
            samples.push(Sample::new("tc_ingress", "instructions", ingress.walked));
            samples.push(Sample::new("tc_egress", "instructions", egress.walked));
            Ok(samples)
        })
    }
}

/// A client, who it asks, and where its packets and the answers to them are met.
struct Conversation<'a> {
    client: Ipv4Addr,
    frontend: SocketAddrV4,
    requests: (&'a Program, &'a Device),
    /// Of the first packet, and of those after it.
    names: [&'static str; 2],
    answers: &'a [(&'static str, &'a Program, &'a Device)],
}

impl Conversation<'_> {
    /// So many of them, each from a port of its own.
    fn measure(&self, count: u16) -> Result<Vec<Sample>> {
        let (program, device) = self.requests;
        let mut times = vec![Vec::new(); 2 + self.answers.len()];
        for number in 0..count {
            let client = SocketAddrV4::new(self.client, FIRST_PORT + number);
            let packet = |segment| device.packet(client, self.frontend, segment);
            let (first_ns, sent) = program.run(&packet(Segment::First), device, 1)?;
            let (source, endpoint) = ends(&sent)?;
            ensure!(endpoint != self.frontend, "no flow is opened to {endpoint}");
            let (next_ns, _) = program.run(&packet(Segment::Later), device, 1)?;
            times[0].push(first_ns);
            times[1].push(next_ns);
            for (index, (_, program, device)) in self.answers.iter().enumerate() {
                let answer = device.packet(endpoint, source, Segment::Later);
                times[2 + index].push(program.run(&answer, device, 1)?.0);
            }
        }
        let names = self
            .names
            .into_iter()
            .chain(self.answers.iter().map(|it| it.0));
        let samples = names
            .zip(times)
            .map(|(name, times)| Sample::new(name, "ns", middle(times)));
        Ok(samples.collect())
    }
}

/// Which segment of a connection.
#[derive(Clone, Copy, Debug)]
enum Segment {
    First,
    Later,
}

/// A pinned program.
struct Program {
    program: SchedClassifier,
    /// How many instructions the verifier walked.
    walked: f64,
}

impl Program {
    fn open(node: &Node, name: &str) -> Result<Self> {
        let pin = node.bpffs().join("netproxy/v1/programs").join(name);
        let program = SchedClassifier::from_pin(&pin)
            .with_context(|| format!("{} cannot be opened", pin.display()))?;
        let walked = program.info()?.verified_instruction_count();
        Ok(Self {
            program,
            walked: walked.map_or(0.0, f64::from),
        })
    }

    /// Runs a packet that came in by this device; answers with how long one run took, and the packet that it left.
    fn run(&self, packet: &[u8], device: &Device, repeat: u32) -> Result<(f64, Vec<u8>)> {
        let mut context = [0_u32; WORDS];
        context[INGRESS_IFINDEX] = device.index;
        context[IFINDEX] = device.index;
        let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut left = vec![0; packet.len() + SPARE_BYTES];
        let result = self.program.test_run(TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut left),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        })?;
        left.truncate(usize::try_from(result.data_size_out)?);
        Ok((result.duration.as_secs_f64() * 1e9, left))
    }
}

impl Device {
    /// As it comes in by this device.
    fn packet(&self, from: SocketAddrV4, to: SocketAddrV4, segment: Segment) -> Vec<u8> {
        let (from_ip, to_ip) = (from.ip().octets(), to.ip().octets());
        let tcp = PacketBuilder::ethernet2(PEER_MAC, self.mac)
            .ipv4(from_ip, to_ip, TTL)
            .tcp(from.port(), to.port(), SEQUENCE, WINDOW);
        let tcp = match segment {
            Segment::First => tcp.syn(),
            Segment::Later => tcp.ack(SEQUENCE),
        };
        let mut packet = Vec::with_capacity(tcp.size(0));
        // Writing to memory does not fail.
        let _ = tcp.write(&mut packet, &[]);
        packet
    }
}

/// Source and destination of a TCP packet.
fn ends(packet: &[u8]) -> Result<(SocketAddrV4, SocketAddrV4)> {
    let sliced = SlicedPacket::from_ethernet(packet)?;
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (sliced.net, sliced.transport)
    else {
        bail!("not TCP by IPv4: {packet:02x?}");
    };
    let header = ip.header();
    Ok((
        SocketAddrV4::new(header.source_addr(), tcp.source_port()),
        SocketAddrV4::new(header.destination_addr(), tcp.destination_port()),
    ))
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    median(&values)
}

fn v4(address: SocketAddr) -> Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => bail!("{address} is not of IPv4"),
    }
}
