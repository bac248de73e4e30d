//! Connections whose destination netfilter translates (`nf_conntrack`, by ctnetlink).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Status, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};

use super::dump;
use crate::model::Protocol;

/// A connection on its way to another address than its client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    pub(crate) protocol: Protocol,
    /// Who asked.
    pub(crate) client: SocketAddr,
    /// What it asked for.
    pub(crate) frontend: SocketAddr,
    /// Who answers.
    pub(crate) endpoint: SocketAddr,
    /// Who the endpoint sees as client.
    pub(crate) source: SocketAddr,
    /// Whether both sides have been heard for a while.
    pub(crate) is_assured: bool,
    /// In how many seconds it is forgotten unless a packet comes.
    pub(crate) timeout_s: u32,
}

/// All of them, of the protocols that services have.
pub(crate) fn translated() -> io::Result<Vec<Translated>> {
    let request = NetfilterMessage::new(
        NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0),
        ConntrackMessage::Get(Vec::new()),
    );
    let answers = dump(request)?;
    Ok(answers.iter().filter_map(connection).collect())
}

fn connection(answer: &NetfilterMessageInner) -> Option<Translated> {
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = answer else {
        return None;
    };
    let (mut original, mut reply) = (None, None);
    let (mut status, mut timeout_s) = (Status::empty(), 0);
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuples) => original = ends(tuples),
            ConntrackAttribute::CtaTupleReply(tuples) => reply = ends(tuples),
            ConntrackAttribute::CtaStatus(bits) => status = *bits,
            ConntrackAttribute::CtaTimeout(seconds) => timeout_s = *seconds,
            _ => {}
        }
    }
    let (protocol, client, frontend) = original?;
    let (_, endpoint, source) = reply?;
    status.contains(Status::DstNat).then_some(Translated {
        protocol,
        client,
        frontend,
        endpoint,
        source,
        is_assured: status.contains(Status::Assured),
        timeout_s,
    })
}

/// Protocol, source and destination of a tuple; None: it has no ports.
fn ends(tuples: &[Tuple]) -> Option<(Protocol, SocketAddr, SocketAddr)> {
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let (mut source, mut destination, mut protocol) = (nowhere, nowhere, None);
    for tuple in tuples {
        match tuple {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(address) => source.set_ip(*address),
                        IPTuple::DestinationAddress(address) => destination.set_ip(*address),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(parts) => {
                for part in parts {
                    match part {
                        ProtoTuple::Protocol(number) => {
                            protocol = Protocol::from_number((*number).into());
                        }
                        ProtoTuple::SourcePort(port) => source.set_port(*port),
                        ProtoTuple::DestinationPort(port) => destination.set_port(*port),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some((protocol?, source, destination))
}
