//! Frames as network cards bring and take them: made by an XDP program at the underlay's end of a node's uplink, where
//! no skb is needed for them (`BPF_F_TEST_XDP_LIVE_FRAMES`), and taken there again before anybody handles them.

use std::{
    net::{SocketAddr, SocketAddrV4, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::PerCpuArray,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType, TestRunAttrs, Xdp,
        tc::{SchedClassifierLinkId, TcAttachOptions},
    },
};
use etherparse::PacketBuilder;
use netproxy_lab::{Client, Lab, Node, Place};
use nix::net::if_::if_nametoindex;

use crate::{
    cpu,
    device::Device,
    web::{self, GREETING},
};

/// So many flows, from so many ports of the client.
const FLOWS: u16 = 64;
const FIRST_PORT: u16 = 20_000;
const PAYLOAD: &[u8] = b"datagram";
const TTL: u8 = 64;
/// So many by one call, which takes its time to begin and to end.
const BURST: u32 = 131_072;
/// As many as a card hands over at once (`NAPI_POLL_WEIGHT`).
const BATCH: u32 = 64;
/// How long the answer to a greeting may take, and how often one is sent.
const PATIENCE: Duration = Duration::from_millis(200);
const GREETINGS: u32 = 50;

/// Flows of a client to a node's port, each of which has been answered once, and their frames.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    lab: &'a Lab,
    ebpf: Ebpf,
    taking: Option<SchedClassifierLinkId>,
    frame: Vec<u8>,
    /// Whose ports are nobody else's.
    _sockets: Vec<UdpSocket>,
}

impl<'a> Frames<'a> {
    /// Opens the flows, and from then on takes what the node sends on of them.
    pub(crate) fn prepare(
        lab: &'a Lab,
        node: &Node,
        client: &Client,
        to: SocketAddrV4,
    ) -> Result<Self> {
        let sockets = client.namespace().inside(|| {
            let ports = FIRST_PORT..FIRST_PORT + FLOWS;
            ports
                .map(|port| greet(port, to.into()))
                .collect::<Result<Vec<_>>>()
        })?;
        let [source, destination] = [
            Device::find(client, "eth0")?.mac,
            Device::find(node, "eth0")?.mac,
        ];
        let packet = PacketBuilder::ethernet2(source, destination)
            .ipv4(client.ipv4().octets(), to.ip().octets(), TTL)
            .udp(FIRST_PORT, to.port());
        let mut frame = Vec::new();
        packet.write(&mut frame, PAYLOAD)?;
        let port = lab.port_of(node);
        let headers = &frame[..frame.len() - PAYLOAD.len()];
        let (ebpf, taking) = lab.fabric().namespace().inside(|| load(&port, headers))?;
        Ok(Self {
            lab,
            ebpf,
            taking: Some(taking),
            frame,
            _sockets: sockets,
        })
    }

    /// Sends for so long; answers with how many frames that were.
    pub(crate) fn send(&mut self, length: Duration) -> Result<u64> {
        let program: &mut Xdp = program(&mut self.ebpf, "send_frame")?;
        let frame = &self.frame[..];
        self.lab.fabric().namespace().inside(|| {
            cpu::bind_thread(cpu::SERVER)?;
            let began = Instant::now();
            let mut sent = 0;
            while began.elapsed() < length {
                program.test_run(TestRunOptions {
                    data_in: Some(frame),
                    repeat: BURST,
                    attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                    ..TestRunOptions::default()
                })?;
                sent += u64::from(BURST);
            }
            Ok(sent)
        })
    }

    /// How many frames the node has sent on.
    pub(crate) fn taken(&self) -> Result<u64> {
        let map = self.ebpf.map("TAKEN").context("no such map")?;
        let counts = PerCpuArray::<_, u64>::try_from(map)?;
        Ok(counts.get(&0, 0)?.iter().sum())
    }
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        let taking = self.taking.take();
        let program: Result<&mut SchedClassifier> = program(&mut self.ebpf, "take");
        if let (Ok(program), Some(link)) = (program, taking) {
            // It ends with the program, if not now.
            let _ = self
                .lab
                .fabric()
                .namespace()
                .inside(|| Ok(program.detach(link)?));
        }
    }
}

/// The programs, of which one sends frames of these headers by `port`, and one takes what comes in by it.
fn load(port: &str, headers: &[u8]) -> Result<(Ebpf, SchedClassifierLinkId)> {
    let ifindex = if_nametoindex(port).with_context(|| format!("no device {port}"))?;
    let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ebpf/foreign");
    let mut ebpf = EbpfLoader::new()
        .override_global("SENT", headers, true)
        .override_global("SENT_BY", &ifindex, true)
        .override_global("FIRST_PORT", &u32::from(FIRST_PORT), true)
        .override_global("PORTS", &u32::from(FLOWS), true)
        .override_global("TAKEN_AT", &u32::from(web::SINK), true)
        .load_file(object)
        .context("cargo xtask build-ebpf")?;
    let send: &mut Xdp = program(&mut ebpf, "send_frame")?;
    send.load()?;
    let take: &mut SchedClassifier = program(&mut ebpf, "take")?;
    take.load()?;
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let link = take.attach_with_options(port, TcAttachType::Ingress, first)?;
    Ok((ebpf, link))
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<P>
where
    P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name);
    Ok(program
        .with_context(|| format!("no program {name}"))?
        .try_into()?)
}

/// A socket whose flow has been answered.
fn greet(port: u16, to: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(("0.0.0.0", port)).with_context(|| format!("port {port}"))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..GREETINGS {
        socket.send(GREETING).context("greet")?;
        if socket.recv(&mut [0; 16]).is_ok() {
            return Ok(socket);
        }
    }
    bail!("{to} does not answer a greeting from port {port}")
}
