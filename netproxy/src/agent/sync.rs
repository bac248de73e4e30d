//! From the store's plans into the maps: what has changed, everything now and then, and what was
//! refused again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{debug, error, info, warn};

use super::warnings::Cause;
use super::{Agent, RETRY};
use crate::datapath::Applied;
use crate::metrics::Extent;
use crate::model::{Family, ObjectName, families_of};

impl Agent {
    /// Applies what has changed; the first time, everything, and removes what is not wanted.
    pub(super) fn bring_up_to_date(&mut self) {
        let mut names: BTreeSet<ObjectName> = self.store.take_dirty().into_iter().collect();
        let is_first = !self.has_started;
        if is_first {
            self.has_started = true;
            names.extend(self.datapath.service_names());
            names.extend(self.store.services().map(|service| service.name.clone()));
        }
        if is_first {
            self.begin_takeover();
            self.apply(names, Extent::Full);
            self.end_takeover();
        } else if !names.is_empty() {
            self.apply(names, Extent::Partial);
        } else if self.refused.is_empty() {
            self.set_service_cidrs();
        }
    }

    /// Compares everything with what the kernel holds, and repairs it.
    pub(super) fn compare(&mut self) {
        self.look_at_network();
        self.set_socket_clients();
        if !self.has_started {
            return;
        }
        self.judge_unknown_connections();
        let mut names = self.datapath.service_names();
        names.extend(self.store.services().map(|service| service.name.clone()));
        let source_ranges = self
            .datapath
            .repair_source_ranges()
            .unwrap_or_else(|error| {
                error!(%error, "source ranges cannot be compared");
                0
            });
        let Applied {
            written, removed, ..
        } = self.apply(names, Extent::Full);
        if let Some(sweeps) = &self.sweeps {
            sweeps.request();
        }
        let removed = removed + source_ranges;
        if written + removed > 0 {
            warn!(
                written,
                removed, "the maps had drifted from the wanted state and were repaired"
            );
            let note = format!(
                "somebody else has changed netproxy's maps: {written} ports of services were written \
                 again, and {removed} entries removed"
            );
            self.warnings.tell(Cause::MapsRepaired, note);
        }
    }

    /// Brings these services, and those refused before, to the wanted state.
    pub(super) fn apply(&mut self, mut names: BTreeSet<ObjectName>, extent: Extent) -> Applied {
        names.append(&mut self.refused);
        let began = Instant::now();
        let services = || names.iter().map(|name| self.store.service(name));
        self.health.queued(services(), began);
        let families: BTreeSet<Family> = match extent {
            Extent::Full => Family::BOTH.into(),
            Extent::Partial => services().flat_map(families_of).collect(),
        };
        self.metrics.syncs.begun(&families, Timestamp::now());
        let wanted: Vec<_> = names
            .iter()
            .map(|name| (name.clone(), self.store.plan(name)))
            .collect();
        self.go_on_with_takeover();
        let outcome = self.datapath.apply(&wanted);
        self.tell_of_missing_tables();
        self.metrics.without_local.set(&wanted);
        // Also when something was refused: that of most services is in force.
        let checks = names.iter();
        let checks = checks.map(|name| (name.clone(), self.store.health_check(name)));
        self.health.set_checks(checks);
        // Also after a refusal: of most services the new state is in force.
        if let Some(sweeps) = &self.sweeps
            && outcome
                .as_ref()
                .map_or(true, |applied| sweeps.concern(applied))
        {
            sweeps.request();
        }
        match outcome {
            Ok(applied) => {
                self.retry = RETRY.0;
                let (took, now) = (began.elapsed(), Timestamp::now());
                let syncs = &mut self.metrics.syncs;
                syncs.succeeded(extent, &families, took, now);
                self.set_service_cidrs();
                self.health.updated(Timestamp::now());
                report(&applied, names.len(), began.elapsed());
                applied
            }
            Err(error) => {
                self.refused = names;
                self.metrics.syncs.failed();
                self.health.refused(self.refused.len(), &error);
                error!(%error, services = self.refused.len(), retry = ?self.retry, "not everything could be applied");
                let note = format!(
                    "changes of {} services are not in force; they are tried again: {error}",
                    self.refused.len()
                );
                self.warnings.tell(Cause::ChangesRefused, note);
                Applied::default()
            }
        }
    }

    /// Tells of services for which there is no table; the log has told which, one by one.
    fn tell_of_missing_tables(&mut self) {
        let mut without = self.datapath.without_table();
        let count = without.len();
        let Some(first) = without.next() else {
            return;
        };
        let note = format!(
            "{count} ports of services are balanced at random, {first} among them, where every node is to send a flow \
             to the same endpoint: there is no table for them; --map-size MAGLEV=N makes more"
        );
        self.warnings.tell(Cause::BalancedAtRandom, note);
    }

    /// When what was refused is tried again; each time later than the last.
    pub(super) fn next_retry(
        &mut self,
        planned: Option<tokio::time::Instant>,
    ) -> Option<tokio::time::Instant> {
        if self.refused.is_empty() {
            return None;
        }
        let now = tokio::time::Instant::now();
        planned.filter(|at| *at > now).or_else(|| {
            let at = now + self.retry;
            self.retry = (self.retry * 2).min(RETRY.1);
            Some(at)
        })
    }
}

/// The story of one sync in one line.
fn report(applied: &Applied, services: usize, took: Duration) {
    let Applied {
        written,
        unchanged,
        removed,
        endpoints,
        udp: _,
    } = *applied;
    let took_us = took.as_micros();
    if written + removed > 0 {
        info!(
            services,
            written, unchanged, removed, endpoints, took_us, "synced"
        );
    } else {
        debug!(services, unchanged, took_us, "nothing to change");
    }
}
