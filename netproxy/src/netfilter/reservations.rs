//! Source ports that are kept from netfilter: it gives out none of those that its connection tracking knows, and
//! of flows that are translated past it, it knows nothing. An answer to a connection that another proxy
//! masquerades would pass for one to such a flow.
//!
//! What is kept is an entry of the table of connections (ctnetlink), which no packet ever meets. Nobody has to
//! come back for it: it expires.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Status,
    Tuple,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use netlink_sys::Socket;
use rustc_hash::FxHashMap;

use super::{connect, order};
use crate::model::Protocol;

/// How long an entry is kept for unless it is renewed.
const LIFETIME_S: u32 = 180;
/// How often it is.
const RENEWAL: Duration = Duration::from_mins(1);
/// `TCP_CONNTRACK_ESTABLISHED`: the kernel takes the port of a connection that it holds for closed
/// (`nf_nat_used_tuple_harder`).
const ESTABLISHED: u8 = 3;

/// As what a flow's packets leave this node for their endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Departure {
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) endpoint: SocketAddr,
}

/// Those that are kept. They are let go when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    /// And when they were last renewed.
    kept: FxHashMap<Departure, Instant>,
}

impl Reservations {
    /// Keeps these, and no others.
    ///
    /// # Errors
    /// When not all of them can be. Half of the room that netfilter's table has is left to others.
    pub(crate) fn keep(&mut self, wanted: impl IntoIterator<Item = Departure>) -> io::Result<()> {
        let Some(mut room) = room()? else {
            return Ok(());
        };
        let mut socket = connect()?;
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.kept);
        for departure in wanted {
            let kept = before.remove(&departure);
            if let Some(renewed) = kept.filter(|renewed| now < *renewed + RENEWAL) {
                self.kept.insert(departure, renewed);
                continue;
            }
            if kept.is_none() && room == 0 {
                self.kept.extend(before);
                return Err(io::Error::other(
                    "its table of connections is half full (net.netfilter.nf_conntrack_max)",
                ));
            }
            room = room.saturating_sub(1);
            let flags = if kept.is_some() { 0 } else { NLM_F_EXCL };
            match put(&mut socket, &departure, flags) {
                Ok(()) => {
                    self.kept.insert(departure, now);
                }
                // Somebody has it already.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    self.kept.extend(before);
                    return Err(error);
                }
            }
        }
        for departure in before.keys() {
            remove(&mut socket, departure)?;
        }
        Ok(())
    }
}

impl Drop for Reservations {
    fn drop(&mut self) {
        // What is left expires.
        let _ = self.keep([]);
    }
}

/// How many more there may be; None: this kernel tracks no connections.
fn room() -> io::Result<Option<u32>> {
    let read = |name: &str| match std::fs::read_to_string(format!(
        "/proc/sys/net/netfilter/nf_conntrack_{name}"
    )) {
        Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let (most, count): (Option<u32>, Option<u32>) = (read("max")?, read("count")?);
    Ok(most
        .zip(count)
        .map(|(most, count)| most.saturating_sub(count) / 2))
}

fn put(socket: &mut Socket, departure: &Departure, flags: u16) -> io::Result<()> {
    let Departure {
        protocol,
        source,
        endpoint,
    } = *departure;
    let mut attributes = vec![
        ConntrackAttribute::CtaTupleOrig(tuple(protocol, source, endpoint)),
        ConntrackAttribute::CtaTupleReply(tuple(protocol, endpoint, source)),
        ConntrackAttribute::CtaTimeout(LIFETIME_S),
        ConntrackAttribute::CtaStatus(Status::Confirmed | Status::SeenReply | Status::Assured),
    ];
    if protocol == Protocol::Tcp {
        let state = vec![ProtoInfoTCP::State(ESTABLISHED)];
        attributes.push(ConntrackAttribute::CtaProtoInfo(vec![ProtoInfo::TCP(
            state,
        )]));
    }
    let message = ConntrackMessage::New(attributes);
    order(socket, request(departure, message), NLM_F_CREATE | flags)
}

/// What is no longer there is no error.
fn remove(socket: &mut Socket, departure: &Departure) -> io::Result<()> {
    let tuple = tuple(departure.protocol, departure.source, departure.endpoint);
    let message = ConntrackMessage::Delete(vec![ConntrackAttribute::CtaTupleOrig(tuple)]);
    match order(socket, request(departure, message), 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn request(departure: &Departure, message: ConntrackMessage) -> NetfilterMessage {
    let family = if departure.source.is_ipv4() {
        NetfilterProtoFamily::IPv4
    } else {
        NetfilterProtoFamily::IPv6
    };
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

fn tuple(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Vec<Tuple> {
    vec![
        Tuple::Ip(vec![
            IPTuple::SourceAddress(source.ip()),
            IPTuple::DestinationAddress(destination.ip()),
        ]),
        Tuple::Proto(vec![
            ProtoTuple::Protocol(protocol.number().into()),
            ProtoTuple::SourcePort(source.port()),
            ProtoTuple::DestinationPort(destination.port()),
        ]),
    ]
}
