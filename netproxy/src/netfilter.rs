//! What the kernel's packet filter holds in this network namespace: tables and chains of nftables, connections
//! that its tracking translates (both read over netlink, so that no other program is needed), what
//! kube-proxy has left there, and source ports that are kept from it.

mod conntrack;
mod iptables;
mod kube_proxy;
mod leftovers;
mod reservations;
mod tables;

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

pub(crate) use self::conntrack::{Translated, translated};
pub(crate) use self::kube_proxy::{IPVS_DEVICE, TABLE, is_of_kube_proxy, may_serve};
pub use self::leftovers::{LeftoverError, Leftovers, release_connections};
pub(crate) use self::reservations::{Departure, Reservations};
pub(crate) use self::tables::{Entry, entries};

/// Everything that answers the request; nothing where the kernel has no such part. What cannot be read is
/// left out.
fn dump(request: NetfilterMessage) -> io::Result<Vec<NetfilterMessageInner>> {
    let mut socket = connect()?;
    send(&mut socket, request, NLM_F_DUMP)?;
    let mut answers = Vec::new();
    match each_answer(&mut socket, |answer| answers.push(answer)) {
        // Not in this kernel.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)) => {
            Ok(answers)
        }
        result => result.map(|()| answers),
    }
}

/// Has the kernel do something.
fn order(socket: &mut Socket, request: NetfilterMessage, flags: u16) -> io::Result<()> {
    send(socket, request, NLM_F_ACK | flags)?;
    each_answer(socket, drop)
}

fn connect() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn send(socket: &mut Socket, request: NetfilterMessage, flags: u16) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(request));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

/// Reads to the end of what answers one request.
fn each_answer(socket: &mut Socket, mut take: impl FnMut(NetfilterMessageInner)) -> io::Result<()> {
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let length = NetlinkBuffer::new_checked(rest)
                .map_err(io::Error::other)?
                .length() as usize;
            match NetlinkMessage::<NetfilterMessage>::deserialize(rest).map(|it| it.payload) {
                Ok(NetlinkPayload::InnerMessage(answer)) => take(answer.inner),
                Ok(NetlinkPayload::Done(_)) => return Ok(()),
                Ok(NetlinkPayload::Error(error)) => {
                    // Without a code, it acknowledges.
                    return error.code.map_or(Ok(()), |_| Err(error.to_io()));
                }
                Ok(_) | Err(_) => {}
            }
            // Messages are aligned to four bytes.
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
    }
}
