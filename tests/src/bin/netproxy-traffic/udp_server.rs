//! UDP: one answer per datagram, from the address that was asked.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
};

use anyhow::{Context, Result};
use netproxy_lab::report::Answer;
use nix::{
    cmsg_space,
    libc::{in_pktinfo, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
        setsockopt, sockopt,
    },
};
use socket2::Socket;

/// The largest datagram.
const LARGEST: usize = 65535;

/// A server on one socket.
pub(crate) struct UdpServer {
    name: String,
    socket: Socket,
    port: u16,
}

/// Which address a datagram was sent to, in the form in which the answer names it as its source.
enum Asked {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl UdpServer {
    pub(crate) fn new(name: String, socket: Socket, address: SocketAddr) -> Result<Self> {
        if address.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).context("IP_PKTINFO")?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).context("IPV6_RECVPKTINFO")?;
        }
        Ok(Self {
            name,
            socket,
            port: address.port(),
        })
    }

    pub(crate) fn run(self) {
        let mut buffer = vec![0; LARGEST];
        loop {
            // What one client brings about (an ICMP error, say) is no reason to leave the others.
            if let Err(error) = self.answer(&mut buffer) {
                eprintln!("udp port {}: {error:#}", self.port);
            }
        }
    }

    fn answer(&self, buffer: &mut [u8]) -> Result<()> {
        let mut space = cmsg_space!(in6_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let descriptor = self.socket.as_raw_fd();
        let received = recvmsg::<SockaddrStorage>(
            descriptor,
            &mut slices,
            Some(&mut space),
            MsgFlags::empty(),
        )
        .context("receive")?;
        let length = received.bytes;
        let from = received.address.context("a datagram without a source")?;
        let asked = received
            .cmsgs()
            .context("the datagram's destination")?
            .find_map(|message| match message {
                // The answer leaves by its route, whichever device the datagram came in by.
                ControlMessageOwned::Ipv4PacketInfo(info) => Some(Asked::V4(in_pktinfo {
                    ipi_ifindex: 0,
                    ..info
                })),
                ControlMessageOwned::Ipv6PacketInfo(info) => Some(Asked::V6(in6_pktinfo {
                    ipi6_ifindex: 0,
                    ..info
                })),
                _ => None,
            })
            .context("a datagram without a destination")?;
        let answer = Answer {
            endpoint: self.name.clone(),
            client: socket_addr(&from).context("a datagram of another family")?,
            server: SocketAddr::new(asked.address(), self.port),
            payload: Some(String::from_utf8_lossy(&buffer[..length]).into_owned()),
        };
        let text = serde_json::to_vec(&answer)?;
        let slices = [IoSlice::new(&text)];
        let source = match &asked {
            Asked::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Asked::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        };
        sendmsg(
            descriptor,
            &slices,
            &[source],
            MsgFlags::empty(),
            Some(&from),
        )
        .with_context(|| format!("answer {}", answer.client))?;
        Ok(())
    }
}

impl Asked {
    fn address(&self) -> IpAddr {
        match self {
            // In the order of the wire, as the kernel has it.
            Self::V4(info) => IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()),
            Self::V6(info) => IpAddr::from(info.ipi6_addr.s6_addr),
        }
    }
}

fn socket_addr(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage
        .as_sockaddr_in()
        .map(|&address| SocketAddr::V4(address.into()));
    v4.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|&address| SocketAddr::V6(address.into()))
    })
}
