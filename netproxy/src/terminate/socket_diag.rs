//! Sockets of one network namespace, found and ended by `NETLINK_SOCK_DIAG` (`sock_diag(7)`).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::{Doomed, Fate};
use crate::node::socket_option;

/// A socket that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    family: u8,
    protocol: u8,
    id: SocketId,
}

impl Found {
    fn cookie(&self) -> u64 {
        u64::from_ne_bytes(self.id.cookie)
    }

    fn destination(&self) -> SocketAddr {
        let address = self.id.destination_address.to_canonical();
        SocketAddr::new(address, self.id.destination_port)
    }
}

/// The sockets of the network namespace in which this was made.
pub(super) struct SocketDiag {
    netlink: Socket,
}

impl SocketDiag {
    /// Of the namespace that this thread is in.
    pub(super) fn open() -> io::Result<Self> {
        let mut netlink = Socket::new(NETLINK_SOCK_DIAG)?;
        netlink.bind_auto()?;
        netlink.connect(&netlink_sys::SocketAddr::new(0, 0))?;
        Ok(Self { netlink })
    }

    /// The namespace's cookie.
    pub(super) fn netns(&self) -> io::Result<u64> {
        socket_option(self.netlink.as_fd(), libc::SO_NETNS_COOKIE)
    }

    /// The connected sockets of a protocol that send to `destination`, whatever their family.
    pub(super) fn connected_to(
        &self,
        protocol: u8,
        destination: SocketAddr,
    ) -> io::Result<Vec<Found>> {
        let mut found = self.list(libc::AF_INET6, protocol, destination.port())?;
        if destination.is_ipv4() {
            found.append(&mut self.list(libc::AF_INET, protocol, destination.port())?);
        }
        found.retain(|socket| socket.destination() == destination);
        Ok(found)
    }

    fn list(&self, family: libc::c_int, protocol: u8, port: u16) -> io::Result<Vec<Found>> {
        let family = u8::try_from(family).map_err(io::Error::other)?;
        let mut id = match i32::from(family) {
            libc::AF_INET => SocketId::new_v4(),
            _ => SocketId::new_v6(),
        };
        id.destination_port = port;
        let request = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::all(),
            socket_id: id,
        });
        let mut found = Vec::new();
        self.ask(request, NLM_F_DUMP, |answer| {
            if let SockDiagMessage::InetResponse(response) = answer {
                found.push(Found {
                    family,
                    protocol,
                    id: response.header.socket_id,
                });
            }
        })?;
        Ok(found)
    }

    /// Ends the socket: whoever waits on it gets ECONNABORTED (`udp_abort`, `tcp_abort`).
    pub(super) fn end(&self, socket: &Found) -> io::Result<()> {
        let request = SockDiagMessage::InetRequest(InetRequest {
            family: socket.family,
            protocol: socket.protocol,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::all(),
            socket_id: socket.id.clone(),
        });
        self.ask(
            SockDiagDestroy::new(request),
            NLM_F_ACK,
            |_: SockDiagMessage| {},
        )
    }

    /// Ends those of `sockets` that are in this namespace and still connected to their endpoints.
    pub(super) fn end_all(&self, sockets: &[Doomed]) -> Vec<Fate> {
        let mut fates = vec![Fate::Gone; sockets.len()];
        let mut by_endpoint: BTreeMap<_, BTreeMap<u64, usize>> = BTreeMap::new();
        for (index, socket) in sockets.iter().enumerate() {
            let peer = (socket.protocol, socket.endpoint);
            let waiting = by_endpoint.entry(peer).or_default();
            waiting.insert(socket.cookie, index);
        }
        for ((protocol, endpoint), mut waiting) in by_endpoint {
            if let Err(error) = self.end_some(protocol, endpoint, &mut waiting, &mut fates) {
                for index in waiting.into_values() {
                    fates[index] = Fate::Refused(error.to_string());
                }
            }
        }
        fates
    }

    /// Ends those that are `waiting`, cookies to their places in `fates`, until no more are found. The
    /// kernel looks for a socket by its tuple, and of several that share one finds the same each time:
    /// each hides the next until it is ended.
    fn end_some(
        &self,
        protocol: u8,
        endpoint: SocketAddr,
        waiting: &mut BTreeMap<u64, usize>,
        fates: &mut [Fate],
    ) -> io::Result<()> {
        loop {
            let before = waiting.len();
            for found in self.connected_to(protocol, endpoint)? {
                let Some(index) = waiting.get(&found.cookie()) else {
                    continue;
                };
                fates[*index] = match self.end(&found) {
                    Ok(()) => Fate::Ended,
                    Err(error)
                        if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE)) =>
                    {
                        continue;
                    }
                    Err(error) => Fate::Refused(error.to_string()),
                };
                waiting.remove(&found.cookie());
            }
            if waiting.is_empty() || waiting.len() == before {
                return Ok(());
            }
        }
    }

    /// Sends a request, and takes in the answers until there are no more.
    fn ask<Q, A>(&self, request: Q, flags: u16, mut take: impl FnMut(A)) -> io::Result<()>
    where
        Q: NetlinkSerializable + Into<NetlinkPayload<Q>>,
        A: NetlinkDeserializable,
    {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, request.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.netlink.send(&bytes, 0)?;
        loop {
            let (answers, _) = self.netlink.recv_from_full()?;
            let mut rest = &answers[..];
            while !rest.is_empty() {
                let answer = NetlinkMessage::<A>::deserialize(rest).map_err(io::Error::other)?;
                match answer.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    // Without a code it is an acknowledgement.
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(answer) => take(answer),
                    _ => {}
                }
                let length = answer.header.length as usize;
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}
