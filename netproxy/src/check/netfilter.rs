//! The tables and chains of nftables, read over netlink, so that no `nft` is needed.

use std::io;

use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// `NFNL_SUBSYS_NFTABLES`, the upper byte of a message type.
const NFTABLES: u16 = 10 << 8;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;

/// `struct nfgenmsg`: family, version, resource id.
const GENERIC_HEADER_BYTES: usize = 4;

/// A table, or a chain of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `ip`, `ip6`, or a number.
    pub family: String,
    pub table: String,
    /// `None` for the table itself.
    pub chain: Option<String>,
}

/// Every table and every chain of this network namespace. Rules made by `iptables-nft` are among
/// them, those of `iptables-legacy` are not.
pub(super) fn entries() -> io::Result<Vec<Entry>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut entries = list(&socket, Listing::Tables)?;
    entries.extend(list(&socket, Listing::Chains)?);
    Ok(entries)
}

fn list(socket: &Socket, listing: Listing) -> io::Result<Vec<Entry>> {
    let mut request = NetlinkMessage::new(
        NetlinkHeader::default(),
        NetlinkPayload::InnerMessage(Message::Get(listing)),
    );
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut entries = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let length = NetlinkBuffer::new_checked(rest)
                .map_err(io::Error::other)?
                .length();
            let answer = NetlinkMessage::<Message>::deserialize(rest).map_err(io::Error::other)?;
            match answer.payload {
                NetlinkPayload::InnerMessage(Message::New(entry)) => entries.push(entry),
                NetlinkPayload::Done(_) => return Ok(entries),
                NetlinkPayload::Error(error) => {
                    return match error.raw_code() {
                        // No nftables in this kernel.
                        code if code == -libc::EOPNOTSUPP || code == -libc::EINVAL => Ok(entries),
                        _ => Err(error.to_io()),
                    };
                }
                _ => {}
            }
            // Messages are aligned to four bytes.
            let length = (length as usize).next_multiple_of(4).min(rest.len());
            rest = &rest[length..];
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Tables,
    Chains,
}

#[derive(Debug)]
enum Message {
    Get(Listing),
    New(Entry),
    Other(u16),
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        match self {
            Self::Get(Listing::Tables) => NFTABLES | 1,
            Self::Get(Listing::Chains) => NFTABLES | 4,
            Self::New(Entry { chain: None, .. }) => NFTABLES,
            Self::New(Entry { chain: Some(_), .. }) => NFTABLES | 3,
            Self::Other(kind) => *kind,
        }
    }

    fn buffer_len(&self) -> usize {
        GENERIC_HEADER_BYTES
    }

    fn serialize(&self, buffer: &mut [u8]) {
        // All families, version 0.
        buffer.fill(0);
    }
}

impl NetlinkDeserializable for Message {
    type Error = rtnetlink::packet_core::DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        let (table_kind, chain_kind) = match header.message_type {
            NFTABLES => (NFTA_TABLE_NAME, None),
            kind if kind == NFTABLES | 3 => (NFTA_CHAIN_TABLE, Some(NFTA_CHAIN_NAME)),
            kind => return Ok(Self::Other(kind)),
        };
        let (generic, attributes) = payload
            .split_at_checked(GENERIC_HEADER_BYTES)
            .ok_or_else(|| Self::Error::from("shorter than nfgenmsg"))?;
        let family = match i32::from(generic[0]) {
            libc::NFPROTO_IPV4 => "ip".to_owned(),
            libc::NFPROTO_IPV6 => "ip6".to_owned(),
            other => other.to_string(),
        };
        let mut entry = Entry {
            family,
            table: String::new(),
            chain: None,
        };
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute?;
            let text = || {
                let value = attribute.value();
                String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
            };
            if attribute.kind() == table_kind {
                entry.table = text();
            } else if Some(attribute.kind()) == chain_kind {
                entry.chain = Some(text());
            }
        }
        Ok(Self::New(entry))
    }
}
