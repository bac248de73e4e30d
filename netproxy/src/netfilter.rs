//! What the kernel's packet filter holds in this network namespace: tables and chains of nftables, connections
//! that its tracking translates (both read over netlink, so that no other program is needed), and what
//! kube-proxy has left there.

mod conntrack;
mod iptables;
mod kube_proxy;
mod leftovers;
mod tables;

use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

pub(crate) use self::conntrack::{Translated, translated};
pub(crate) use self::kube_proxy::{IPVS_DEVICE, TABLE, is_of_kube_proxy, may_serve};
pub use self::leftovers::{LeftoverError, Leftovers, release_connections};
pub(crate) use self::tables::{Entry, entries};

/// Everything that answers the request; nothing where the kernel has no such part. What cannot be read is
/// left out.
fn dump(request: NetfilterMessage) -> io::Result<Vec<NetfilterMessageInner>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(request));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answers = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let length = NetlinkBuffer::new_checked(rest)
                .map_err(io::Error::other)?
                .length() as usize;
            match NetlinkMessage::<NetfilterMessage>::deserialize(rest).map(|it| it.payload) {
                Ok(NetlinkPayload::InnerMessage(answer)) => answers.push(answer.inner),
                Ok(NetlinkPayload::Done(_)) => return Ok(answers),
                Ok(NetlinkPayload::Error(error)) => {
                    return match error.raw_code() {
                        // Not in this kernel.
                        code if code == -libc::EOPNOTSUPP || code == -libc::EINVAL => Ok(answers),
                        _ => Err(error.to_io()),
                    };
                }
                Ok(_) | Err(_) => {}
            }
            // Messages are aligned to four bytes.
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
    }
}
