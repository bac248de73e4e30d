//! Looking after the flow table: flows past their deadline are removed a slice at a time, and its limits are
//! told of where they are met.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::Agent;
use super::warnings::{Cause, Warnings};
use crate::datapath::{Datapath, DatapathError, Destination, MapFill, Seen};
use crate::metrics::SourcePortMetrics;

/// How often a slice is looked at. With the time for each, expiry takes one part in a hundred of a CPU at
/// most: 100 ms in ten seconds.
pub(super) const SLICE_INTERVAL: Duration = Duration::from_millis(500);
/// How much time of a CPU each slice takes: no change waits longer for it.
const SLICE: Duration = Duration::from_millis(5);
/// How long from the beginning of one pass to that of the next, at least.
const PASS_INTERVAL: Duration = Duration::from_secs(10);
/// How long to be silent about what has been told.
const SILENCE: Duration = Duration::from_mins(1);
/// Of how many hundredths of a tier that nothing evicts it is told.
const PRESSURE: u64 = 90;

/// What has been done and told.
#[derive(Debug, Default)]
pub(super) struct FlowCare {
    /// When the next pass may begin; None: at once.
    next_pass: Option<Instant>,
    is_under_way: bool,
    told_of_fill: Option<Instant>,
    /// Endpoints without a free source port, and the flows refused since that was last told.
    exhausted: BTreeMap<Destination, Refused>,
}

#[derive(Debug, Default)]
struct Refused {
    untold: u32,
    told: Option<Instant>,
}

impl Agent {
    /// The next slice, if it is time.
    pub(super) fn look_after_flows(&mut self) {
        let now = Instant::now();
        if !self.flow_care.is_under_way {
            if self.flow_care.next_pass.is_some_and(|next| now < next) {
                return;
            }
            self.follow_foreign_flows();
        }
        let ports = &mut self.metrics.source_ports;
        let warnings = &mut self.warnings;
        match self
            .flow_care
            .go_on(&mut self.datapath, ports, warnings, now)
        {
            Ok(Some(seen)) => self.measure(&seen),
            Ok(None) => {}
            Err(error) => error!(%error, "flows cannot be expired; the tables may fill up"),
        }
    }
}

impl FlowCare {
    /// Yields what a pass has seen at its end.
    fn go_on(
        &mut self,
        datapath: &mut Datapath,
        metrics: &mut SourcePortMetrics,
        warnings: &mut Warnings,
        now: Instant,
    ) -> Result<Option<Seen>, DatapathError> {
        if !self.is_under_way {
            self.is_under_way = true;
            self.next_pass = Some(now + PASS_INTERVAL);
            for (ports, refused) in datapath.exhausted_ports()? {
                metrics.exhausted(ports, refused);
                let known = self.exhausted.entry(ports).or_default();
                known.untold = known.untold.saturating_add(refused);
            }
            self.tell_of_ports(warnings, now);
        }
        let expired = datapath.expire_some(SLICE)?;
        if expired.halves > 0 {
            debug!(halves = expired.halves, "flows expired");
        }
        if let Some(seen) = &expired.seen {
            self.is_under_way = false;
            self.tell_of_fill(&seen.fills, warnings, now);
        }
        Ok(expired.seen)
    }

    /// Once a minute for each endpoint.
    fn tell_of_ports(&mut self, warnings: &mut Warnings, now: Instant) {
        let is_silent = |refused: &Refused| refused.told.is_some_and(|told| now < told + SILENCE);
        for (ports, refused) in &mut self.exhausted {
            if refused.untold > 0 && !is_silent(refused) {
                warn!(
                    endpoint = %ports.endpoint,
                    protocol = %ports.protocol,
                    refused = refused.untold,
                    "connections that go on have every source port towards this endpoint, and new \
                     ones are refused (ports_exhausted); give its service more endpoints, or leave \
                     more ports beside net.ipv4.ip_local_port_range and ip_local_reserved_ports"
                );
                let note = format!(
                    "{} new connections to {} by {} were refused: none of the source ports towards it \
                     is free. Give its service more endpoints, or leave more ports beside \
                     net.ipv4.ip_local_port_range and ip_local_reserved_ports",
                    refused.untold, ports.endpoint, ports.protocol
                );
                warnings.tell(Cause::SourcePortsExhausted, note);
                refused.untold = 0;
                refused.told = Some(now);
            }
        }
        self.exhausted
            .retain(|_, refused| refused.untold > 0 || is_silent(refused));
    }

    /// The tier that nothing evicts: what finds no room there may be evicted by a flood.
    fn tell_of_fill(&mut self, fills: &[MapFill], warnings: &mut Warnings, now: Instant) {
        debug!(?fills, "flow table walked");
        if self.told_of_fill.is_some_and(|told| now < told + SILENCE) {
            return;
        }
        for fill in fills.iter().filter(|fill| fill.map.starts_with("FLOWS")) {
            if u64::from(fill.entries) * 100 >= u64::from(fill.capacity) * PRESSURE {
                warn!(
                    map = fill.map,
                    entries = fill.entries,
                    capacity = fill.capacity,
                    "the table of assured flows is nearly full; flows that find no room in it work, \
                     but a flood may break them (assured_full); make it larger with --flows-max"
                );
                let note = format!(
                    "{} of {} entries of {} are taken; what finds no room there may be broken by a \
                     flood. Make it larger with --flows-max",
                    fill.entries, fill.capacity, fill.map
                );
                warnings.tell(Cause::FlowTableFull, note);
                self.told_of_fill = Some(now);
            }
        }
    }
}
