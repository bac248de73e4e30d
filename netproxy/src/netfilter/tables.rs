//! The tables and chains of nftables.

use std::io;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, NfTablesMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};

use super::dump;

/// A table, or a chain of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `ip` or `ip6`.
    pub(crate) family: &'static str,
    pub(crate) table: String,
    /// `None` for the table itself.
    pub(crate) chain: Option<String>,
}

/// Every table and every chain of IPv4 and of IPv6 in this network namespace. Rules made by
/// `iptables-nft` are among them, those of `iptables-legacy` are not.
pub(crate) fn entries() -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (family, name) in [
        (NetfilterProtoFamily::IPv4, "ip"),
        (NetfilterProtoFamily::IPv6, "ip6"),
    ] {
        let table = TableMessage { attributes: vec![] };
        let chain = ChainMessage { attributes: vec![] };
        for listing in [
            NfTablesMessage::GetTable(table),
            NfTablesMessage::GetChain(chain),
        ] {
            let header = NetfilterHeader::new(family, 0, 0);
            let answers = dump(NetfilterMessage::new(header, listing))?;
            entries.extend(answers.into_iter().filter_map(|it| entry(name, it)));
        }
    }
    Ok(entries)
}

fn entry(family: &'static str, answer: NetfilterMessageInner) -> Option<Entry> {
    let NetfilterMessageInner::NfTables(answer) = answer else {
        return None;
    };
    let mut entry = Entry {
        family,
        table: String::new(),
        chain: None,
    };
    match answer {
        NfTablesMessage::NewTable(TableMessage { attributes }) => {
            for attribute in attributes {
                if let TableAttribute::Name(name) = attribute {
                    entry.table = name;
                }
            }
        }
        NfTablesMessage::NewChain(ChainMessage { attributes }) => {
            for attribute in attributes {
                match attribute {
                    ChainAttribute::Table(name) => entry.table = name,
                    ChainAttribute::Name(name) => entry.chain = Some(name),
                    _ => {}
                }
            }
        }
        _ => return None,
    }
    Some(entry)
}
