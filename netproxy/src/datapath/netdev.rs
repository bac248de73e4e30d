//! What a device's driver can do for XDP, by the kernel's own word (Linux 6.3 and newer): the generic netlink
//! family `netdev` (uapi/linux/netdev.h).

use std::io;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, Nla as _, NlasIterator, Parseable as _, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};

const FAMILY: &str = "netdev";
/// `NETDEV_CMD_DEV_GET`.
const DEV_GET: u8 = 1;
/// `NETDEV_A_DEV_IFINDEX` and `NETDEV_A_DEV_XDP_FEATURES`.
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_NDO_XMIT`.
const NDO_XMIT: u64 = 1 << 2;

/// A message of the family: its attributes.
#[derive(Clone, Debug)]
struct Netdev(Vec<DefaultNla>);

impl GenlFamily for Netdev {
    fn family_name() -> &'static str {
        FAMILY
    }

    fn command(&self) -> u8 {
        DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Netdev {
    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Netdev {
    fn parse_with_param(bytes: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        let attributes = NlasIterator::new(bytes).map(|nla| DefaultNla::parse(&nla?));
        attributes.collect::<Result<_, _>>().map(Self)
    }
}

/// Whether the device sends frames that XDP programs of others redirect to it.
pub(super) fn sends_frames(ifindex: u32) -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let family = family(&mut socket)?;
    let question = Netdev(vec![DefaultNla::new(IFINDEX, ifindex.to_ne_bytes().into())]);
    let header = GenlHeader {
        cmd: DEV_GET,
        version: 1,
    };
    let answer = ask(&mut socket, GenlMessage::new(header, question, family))?;
    let mut features = [0; 8];
    if let Some(found) = answer.payload.0.iter().find(|it| it.kind() == XDP_FEATURES)
        && found.value_len() == features.len()
    {
        found.emit_value(&mut features);
    }
    Ok(u64::from_ne_bytes(features) & NDO_XMIT != 0)
}

/// The number that the kernel has given the family.
fn family(socket: &mut Socket) -> io::Result<u16> {
    let question = GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY.to_owned())],
    };
    let answer = ask(socket, GenlMessage::from_payload(question))?;
    let id = answer.payload.nlas.iter().find_map(|nla| match nla {
        GenlCtrlAttrs::FamilyId(id) => Some(*id),
        _ => None,
    });
    id.ok_or_else(|| io::Error::other("the kernel gives the family `netdev` no number"))
}

/// Sends a question, and reads the one message that answers it.
fn ask<F>(socket: &mut Socket, question: GenlMessage<F>) -> io::Result<GenlMessage<F>>
where
    F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Clone + std::fmt::Debug,
{
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut question = NetlinkMessage::new(header, NetlinkPayload::from(question));
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (datagram, _) = socket.recv_from_full()?;
    let answer =
        NetlinkMessage::<GenlMessage<F>>::deserialize(&datagram).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(message) => Ok(message),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("the kernel answers with something else")),
    }
}
