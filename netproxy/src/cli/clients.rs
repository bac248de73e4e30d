//! Which clients a service port admits to which of its endpoints: the windows of its range, told
//! in words.

use netproxy_common::service::SEGMENTS;
use netproxy_common::{Range, RangeFlags, Verdict, Window};
use serde::Serialize;

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Client {
    /// Of cluster IPs.
    Internal,
    /// Of node ports, load-balancer and external IPs; under external policy Local only clients on
    /// this node.
    External,
    /// Under external policy Local: clients from elsewhere.
    ExternalLocal,
}

/// What becomes of clients for whom there is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    /// Who.
    pub(super) clients: Client,
    /// What.
    pub(super) answer: Answer,
}

/// How a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// ICMP port unreachable: no node has an endpoint.
    Reject,
    /// None: endpoints exist, but the traffic policy excludes them.
    Drop,
}

impl Client {
    /// As it is shown.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
            Self::ExternalLocal => "external-local",
        }
    }

    /// The kinds that `range` tells apart.
    fn of(range: &Range) -> impl Iterator<Item = Self> {
        let is_local = range.flags & RangeFlags::EXTERNAL_LOCAL != 0;
        [Self::Internal, Self::External]
            .into_iter()
            .chain(is_local.then_some(Self::ExternalLocal))
    }

    /// The endpoints that it may be sent to, and what becomes of it where there are none.
    pub(super) const fn window(self, range: &Range) -> (Window, u8) {
        let [internal, external_cluster, external_local] = range.verdicts;
        match self {
            Self::Internal => (range.internal, internal),
            Self::External => (range.external_cluster, external_cluster),
            Self::ExternalLocal => (range.external_local, external_local),
        }
    }
}

impl Answer {
    /// As it is shown.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Reject => "rejected",
            Self::Drop => "dropped",
        }
    }
}

/// Who may be sent to the endpoints of a segment. Windows never cut through one.
pub(super) fn of_segment(range: &Range, segment: usize) -> Vec<Client> {
    let start = start(range, segment);
    Client::of(range)
        .filter(|client| {
            let (window, _) = client.window(range);
            (window.offset..window.offset.saturating_add(window.count)).contains(&start)
        })
        .collect()
}

/// How many endpoints any client may be sent to.
pub(super) fn usable(range: &Range) -> u32 {
    (0..SEGMENTS)
        .filter(|segment| !of_segment(range, *segment).is_empty())
        .map(|segment| range.segment_ends[segment].saturating_sub(start(range, segment)))
        .sum()
}

/// Who finds no endpoint. `has_external`: there are frontends besides cluster IPs.
pub(super) fn refusals(range: &Range, has_external: bool) -> Vec<Refusal> {
    Client::of(range)
        .filter(|client| has_external || *client == Client::Internal)
        .filter_map(|clients| {
            let (window, verdict) = clients.window(range);
            let answer = if verdict == Verdict::Drop as u8 {
                Answer::Drop
            } else {
                Answer::Reject
            };
            (window.count == 0).then_some(Refusal { clients, answer })
        })
        .collect()
}

fn start(range: &Range, segment: usize) -> u32 {
    segment
        .checked_sub(1)
        .map_or(0, |previous| range.segment_ends[previous])
}

#[cfg(test)]
pub(super) mod tests {
    use bytemuck::Zeroable as _;

    use super::*;

    /// A range whose segments have these lengths, without windows.
    pub(in crate::cli) fn range(lengths: [u32; SEGMENTS]) -> Range {
        let mut range = Range::zeroed();
        let mut end = 0;
        for (segment, length) in lengths.into_iter().enumerate() {
            end += length;
            range.segment_ends[segment] = end;
        }
        range
    }

    pub(in crate::cli) const fn window(offset: u32, count: u32) -> Window {
        Window { offset, count }
    }

    /// One local and two remote ready endpoints, one remote that terminates, policy Local.
    fn local_policy() -> Range {
        Range {
            internal: window(0, 3),
            external_cluster: window(0, 3),
            external_local: window(0, 1),
            flags: RangeFlags::EXTERNAL_LOCAL,
            ..range([0, 1, 2, 0, 0, 1, 0])
        }
    }

    #[test]
    fn an_endpoint_is_used_by_those_whose_window_holds_it() {
        let range = local_policy();

        let local = of_segment(&range, 1);
        let remote = of_segment(&range, 2);
        let terminating = of_segment(&range, 5);

        assert_eq!(
            local,
            [Client::Internal, Client::External, Client::ExternalLocal]
        );
        assert_eq!(remote, [Client::Internal, Client::External]);
        assert_eq!(terminating, []);
    }

    #[test]
    fn policy_cluster_does_not_tell_external_clients_apart() {
        let range = Range {
            flags: 0,
            external_local: window(0, 3),
            ..local_policy()
        };

        assert_eq!(of_segment(&range, 1), [Client::Internal, Client::External]);
    }

    #[test]
    fn endpoints_outside_every_window_are_not_usable() {
        assert_eq!(usable(&local_policy()), 3);
        assert_eq!(usable(&range([1, 0, 0, 0, 0, 0, 2])), 0);
    }

    #[test]
    fn clients_without_endpoint_are_told_with_their_answer() {
        let range = Range {
            external_local: Window::default(),
            verdicts: [Verdict::Drop as u8; 3],
            ..local_policy()
        };

        assert_eq!(
            refusals(&range, true),
            [Refusal {
                clients: Client::ExternalLocal,
                answer: Answer::Drop
            }]
        );
    }

    #[test]
    fn external_clients_are_not_refused_where_there_is_nothing_external() {
        let range = range([0; SEGMENTS]);

        let clients = |has_external| -> Vec<_> {
            refusals(&range, has_external)
                .into_iter()
                .map(|refusal| refusal.clients)
                .collect()
        };

        assert_eq!(clients(false), [Client::Internal]);
        assert_eq!(clients(true), [Client::Internal, Client::External]);
    }
}
