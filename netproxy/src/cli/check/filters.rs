//! The clsact filters of a device: ours, where there is no tcx, and those of others, which run after
//! tcx programs and in the order of their priorities.

use std::collections::BTreeSet;
use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use netproxy::check::{Finding, Level};
use netproxy::datapath::FILTER_HANDLE;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::devices::{SUBJECT, Side, finding};

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Filter {
    /// Filters run in the order of their priorities.
    priority: u16,
    /// `bpf`, `u32`, `flower`…
    kind: String,
    is_ours: bool,
}

/// The filters of a hook, in the order in which they run.
///
/// # Errors
/// Those of netlink.
pub(super) fn of(ifindex: u32, side: Side) -> io::Result<BTreeSet<Filter>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let bytes = request(ifindex, side);
    socket.send(&bytes, 0)?;
    let mut filters = BTreeSet::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(io::Error::other)?;
            // Messages are aligned to four bytes.
            let length = (answer.header.length as usize).next_multiple_of(4);
            match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewTrafficFilter(message)) => {
                    filters.extend(filter(&message));
                }
                NetlinkPayload::Done(_) => return Ok(filters),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn request(ifindex: u32, side: Side) -> Vec<u8> {
    let mut message = TcMessage::default();
    message.header.index = ifindex.cast_signed();
    message.header.parent = TcHandle {
        major: u16::MAX,
        minor: match side {
            Side::Ingress => TcHandle::MIN_INGRESS,
            Side::Egress => TcHandle::MIN_EGRESS,
        },
    };
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetTrafficFilter(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

fn filter(message: &TcMessage) -> Option<Filter> {
    let kind = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(kind.clone()),
            _ => None,
        })?;
    Some(Filter {
        // The lower half is the protocol.
        priority: (message.header.info >> 16) as u16,
        is_ours: kind == "bpf" && u32::from(message.header.handle) == u32::from(FILTER_HANDLE),
        kind,
    })
}

/// What follows from the filters of a hook where ours is a tcx program.
pub(super) fn judge_beside_tcx(
    device: &str,
    side: Side,
    filters: &BTreeSet<Filter>,
) -> Option<Finding> {
    let others = named(filters.iter())?;
    let found = format!("{device}: {others} run after netproxy at {side}");
    Some(match side {
        Side::Ingress => finding(
            Level::Note,
            format!("{found}: they see endpoints, not services"),
        ),
        Side::Egress => Finding {
            subject: SUBJECT,
            level: Level::Warning,
            found: format!(
                "{found}: they see answers as coming from the service, not from the endpoint, and \
                 one that admits answers by what it has seen drops them"
            ),
            remedy: Some("if they do: netproxy run --attach clsact".to_owned()),
        },
    })
}

/// What follows from the filters of a hook where ours is one of them.
pub(super) fn judge_beside_ours(
    device: &str,
    side: Side,
    filters: &BTreeSet<Filter>,
) -> Vec<Finding> {
    let Some(ours) = filters.iter().find(|filter| filter.is_ours) else {
        return vec![Finding {
            subject: SUBJECT,
            level: Level::Warning,
            found: format!("{device}: netproxy is no longer attached at {side}"),
            remedy: Some("restart the agent".to_owned()),
        }];
    };
    let before = filters
        .iter()
        .filter(|filter| !filter.is_ours && filter.priority <= ours.priority);
    let before = named(before).map(|others| Finding {
        subject: SUBJECT,
        level: Level::Warning,
        found: format!(
            "{device}: {others} run before netproxy at {side}: {}",
            match side {
                Side::Ingress => "what one of them keeps to itself never reaches a service",
                Side::Egress =>
                    "answers on which one of them ends the chain, as u32, flower and matchall \
                     filters do, reach clients untranslated",
            }
        ),
        remedy: Some(match side {
            Side::Ingress => "give them a priority above 1".to_owned(),
            Side::Egress => "let them return TC_ACT_UNSPEC or `action continue`, or boot Linux \
                             6.6 or newer, where netproxy runs before all filters"
                .to_owned(),
        }),
    });
    let after = filters
        .iter()
        .filter(|filter| filter.priority > ours.priority);
    let after = named(after).map(|others| {
        let (level, consequence) = match side {
            Side::Ingress => (Level::Note, "they see endpoints, not services"),
            Side::Egress => (
                Level::Warning,
                "they see answers as coming from the service, not from the endpoint",
            ),
        };
        finding(
            level,
            format!("{device}: {others} run after netproxy at {side}: {consequence}"),
        )
    });
    before.into_iter().chain(after).collect()
}

/// `the clsact filters bpf (priority 10) and u32 (priority 20)`; None: there is none.
fn named<'a>(filters: impl Iterator<Item = &'a Filter>) -> Option<String> {
    let names: Vec<_> = filters
        .map(|Filter { priority, kind, .. }| format!("{kind} (priority {priority})"))
        .collect();
    (!names.is_empty()).then(|| format!("the clsact filters {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters<const N: usize>(filters: [(&str, u16); N]) -> BTreeSet<Filter> {
        filters
            .map(|(kind, priority)| Filter {
                priority,
                kind: kind.trim_start_matches("our ").to_owned(),
                is_ours: kind.starts_with("our "),
            })
            .into()
    }

    #[test]
    fn filters_after_our_tcx_program_matter_at_egress() {
        let others = filters([("u32", 20), ("bpf", 10)]);

        let ingress = judge_beside_tcx("eth0", Side::Ingress, &others).unwrap();
        let egress = judge_beside_tcx("eth0", Side::Egress, &others).unwrap();

        assert_eq!(ingress.level, Level::Note);
        assert_eq!(egress.level, Level::Warning);
        assert!(
            egress
                .found
                .contains("bpf (priority 10), u32 (priority 20)")
        );
        assert!(egress.remedy.is_some());
        assert_eq!(
            judge_beside_tcx("eth0", Side::Egress, &BTreeSet::new()),
            None
        );
    }

    #[test]
    fn filters_before_ours_matter_more_than_those_after_at_ingress() {
        let levels = |side, all: &BTreeSet<Filter>| {
            let findings = judge_beside_ours("eth0", side, all);
            findings
                .iter()
                .map(|finding| finding.level)
                .collect::<Vec<_>>()
        };

        let ingress = filters([("bpf", 1), ("our bpf", 1), ("u32", 2)]);
        assert_eq!(
            levels(Side::Ingress, &ingress),
            [Level::Warning, Level::Note]
        );
        let egress = filters([("u32", 20), ("our bpf", 65_534)]);
        assert_eq!(levels(Side::Egress, &egress), [Level::Warning]);
        let alone = filters([("our bpf", 65_534)]);
        assert_eq!(levels(Side::Egress, &alone), []);
        assert_eq!(
            levels(Side::Egress, &filters([("bpf", 1)])),
            [Level::Warning]
        );
    }
}
