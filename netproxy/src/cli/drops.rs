//! `netproxy drops`: what was not served, and why.

use std::collections::BTreeMap;

use clap::Args;
use netproxy::datapath::View;
use netproxy::plan::PortKey;
use netproxy_common::Counter;
use serde::Serialize;

use super::service_name::{self, NamespaceArgs, ServiceName};
use super::table::{Cell, Listing, OutputArgs, Row};

const DETAILS: &str = "\
Counts are of packets, and for socket_refused of sockets, since the maps were made; they survive
a restart of the agent. SERVICE is - where no service is known: the packet asked for none, or the
kernel has no room for one more count by service.

With -o json, an array of objects:
  service_id       a number; null where no service is known
  namespace, name, port_name
                   of the service; null when it is not known, or has been removed since
  reason, count    as above
  meaning          what the reason means

Examples:
  netproxy drops
  netproxy drops --service shop/cart
  netproxy drops -o json | jq '.[] | select(.reason == \"ports_exhausted\")'";

/// Which to list.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct DropsArgs {
    /// Only those of this service
    #[arg(long, value_name = service_name::PLACEHOLDER)]
    service: Option<ServiceName>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl DropsArgs {
    pub(super) fn run(&self, view: &View, list: &mut Listing<'_>) -> anyhow::Result<()> {
        // First those by service: what is dropped in between is then nobody's, and not too few.
        let by_service = view.drops()?;
        let counters = view.counters()?;
        let totals = Counter::ALL
            .iter()
            .filter(|reason| is_told(**reason))
            .map(|reason| Ok((*reason, counters.get(*reason)?)))
            .collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        let names: BTreeMap<u32, PortKey> = view
            .services()?
            .into_iter()
            .map(|(id, service)| (id, service.key))
            .collect();
        let rows: Vec<_> = counts(&by_service, &totals)
            .map(|(service, reason, count)| {
                let key = service.and_then(|id| names.get(&id));
                (key, DropRow::new(service, key, reason, count))
            })
            .filter(|(key, _)| self.admits(*key))
            .map(|(_, row)| row)
            .collect();
        list.rows(self.output.output, &rows, "nothing was dropped")
    }

    fn admits(&self, key: Option<&PortKey>) -> bool {
        let Self {
            service, namespace, ..
        } = self;
        key.map_or(service.is_none() && namespace.is_unset(), |key| {
            namespace.admits(key, service.as_ref())
        })
    }
}

/// Whether it counts what was not served.
pub(super) fn is_told(reason: Counter) -> bool {
    reason.is_drop() || reason == Counter::SocketRefused
}

/// The counts by service, and of each total what is no service's.
fn counts(
    by_service: &BTreeMap<(u32, Counter), u64>,
    totals: &BTreeMap<Counter, u64>,
) -> impl Iterator<Item = (Option<u32>, Counter, u64)> {
    let known = by_service
        .iter()
        .map(|((service, reason), count)| (Some(*service), *reason, *count));
    let others = totals.iter().filter_map(|(reason, total)| {
        let known: u64 = by_service
            .iter()
            .filter(|((_, of), _)| of == reason)
            .map(|(_, count)| count)
            .sum();
        let rest = total.saturating_sub(known);
        (rest != 0).then_some((None, *reason, rest))
    });
    known.chain(others)
}

/// One reason, of one service or of none.
#[derive(Debug, Serialize)]
struct DropRow {
    service_id: Option<u32>,
    namespace: Option<String>,
    name: Option<String>,
    port_name: Option<String>,
    reason: &'static str,
    count: u64,
    meaning: &'static str,
    #[serde(skip)]
    shown: String,
}

impl DropRow {
    fn new(service: Option<u32>, key: Option<&PortKey>, reason: Counter, count: u64) -> Self {
        let shown = match (key, service) {
            (Some(key), _) => service_name::shown(key),
            (None, Some(id)) => format!("removed (id {id})"),
            (None, None) => "-".to_owned(),
        };
        Self {
            service_id: service,
            namespace: key.map(|key| key.service.namespace.to_string()),
            name: key.map(|key| key.service.name.to_string()),
            port_name: key.map(|key| key.port.to_string()),
            reason: reason.name(),
            count,
            meaning: reason.meaning().trim_start(),
            shown,
        }
    }
}

impl Row for DropRow {
    const HEAD: &'static [&'static str] = &["SERVICE", "REASON", "COUNT", "MEANING"];

    fn cells(&self) -> Vec<Cell> {
        let Self {
            shown,
            reason,
            count,
            meaning,
            ..
        } = self;
        vec![
            shown.as_str().into(),
            (*reason).into(),
            count.to_string().into(),
            (*meaning).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_service_is_known_for_is_nobodys() {
        let by_service = BTreeMap::from([
            ((1, Counter::NoEndpoint), 2),
            ((2, Counter::NoEndpoint), 3),
            ((2, Counter::NoRoute), 1),
        ]);
        let totals = BTreeMap::from([(Counter::NoEndpoint, 6), (Counter::NoRoute, 1)]);

        let rows: Vec<_> = counts(&by_service, &totals).collect();

        assert_eq!(
            rows,
            [
                (Some(1), Counter::NoEndpoint, 2),
                (Some(2), Counter::NoEndpoint, 3),
                (Some(2), Counter::NoRoute, 1),
                (None, Counter::NoEndpoint, 1),
            ]
        );
    }

    #[test]
    fn a_count_that_is_ahead_of_its_total_is_no_debt() {
        let by_service = BTreeMap::from([((1, Counter::NoEndpoint), 2)]);
        let totals = BTreeMap::from([(Counter::NoEndpoint, 1)]);

        let rows: Vec<_> = counts(&by_service, &totals).collect();

        assert_eq!(rows, [(Some(1), Counter::NoEndpoint, 2)]);
    }

    #[test]
    fn a_service_that_has_been_removed_since_is_told_by_its_id() {
        let row = DropRow::new(Some(7), None, Counter::NoEndpoint, 1);

        assert_eq!(row.shown, "removed (id 7)");
        assert_eq!(row.meaning, "A service has no endpoint at all.");
    }
}
