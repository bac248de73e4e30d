//! `netproxy top`: what is going on, by service, once a second.

mod rates;
mod report;
mod sample;
mod screen;

use std::io::{IsTerminal as _, stdout};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use netproxy::datapath::View;

use self::rates::Rates;
use self::report::Report;
use self::sample::Sample;
use self::screen::{Key, Screen};
use super::live::{Awaited, Live, Woken};
use super::service_name::{self, NamespaceArgs, ServiceName};
use super::stream::Stream;
use super::table::{Format, Listing, OutputArgs};

const DETAILS: &str = "\
A service port is listed while it has flows, or anything of it is carried or dropped, both families
together. FLOWS are those of packets, live now; NEW/S are those that begin, SOCKETS/S sockets that are sent
straight to an endpoint: they have no flow, and their packets carry no trace of the service. PACKETS/S
and BYTES/S (from the IP header on) are what is translated, both ways together. DROPS/S also counts sockets
that were refused. Totals stand on top, with how full the flow table's maps are.

On a terminal it redraws itself; q or Ctrl-C ends, and s, f, n, b, d sort by service, flows, what
begins, bytes, drops. Elsewhere it prints one report per interval, until --count or a signal ends it.
Each look walks the whole flow table: with a million flows, take a longer --interval.

With -o json, an object on each line:
  time, interval_s  RFC 3339, UTC; over how many seconds rates are taken
  flows             {assured, pending}
  per_s             {new_flows, sockets, drops, refused_sockets, events: {COUNTER: rate, ...}} of all
                    that counted; COUNTER as in `netproxy counters`
  maps              [{map, entries, capacity}, ...]
  services          [{namespace, name, port_name, protocol, flows, new_flows_per_s,
                      sockets_per_s, packets_per_s, bytes_per_s, drops_per_s}, ...]

Examples:
  netproxy top
  netproxy top --sort drops -n shop
  netproxy top --once
  netproxy top --count 60 -o json | jq -c .per_s";

/// What to show.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub(super) struct TopArgs {
    /// Only this service; totals are those of the node nevertheless
    #[arg(long, value_name = service_name::PLACEHOLDER)]
    service: Option<ServiceName>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// End after so many reports
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// The same as --count 1: one report, of one interval
    #[arg(long, conflicts_with = "count")]
    once: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What services are sorted by: the most first, and names as they come in the alphabet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Live flows
    #[default]
    Flows,
    /// New flows and sockets per second
    New,
    /// Bytes per second
    Bytes,
    /// Drops per second
    Drops,
    /// Namespace, name, port
    Service,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("not from 0.1 to 3600 seconds".to_owned())
    }
}

impl TopArgs {
    pub(super) fn run(&self, view: &View, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let live = Live::begin()?;
        if stdout().is_terminal() && self.output.output == Format::Table && !self.once {
            self.on_screen(view, &live, list)
        } else {
            self.in_turn(view, &live, list)
        }
    }

    /// Prints a report at the end of each interval.
    fn in_turn(&self, view: &View, live: &Live, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let mut left = if self.once {
            1
        } else {
            self.count.unwrap_or(u64::MAX)
        };
        let mut before = Sample::take(view)?;
        loop {
            let due = before.at + self.interval;
            if wait_until(due, || live.wait(Awaited::Nothing, until(due)))? == Woken::Ended {
                return Ok(());
            }
            let now = Sample::take(view)?;
            let report = self.report(&Rates::between(&before, &now), self.sort);
            before = now;
            match self.output.output {
                Format::Json => list.raw(Stream::object(&report)?.as_bytes())?,
                Format::Table => {
                    list.line(&report.head().join("\n"))?;
                    list.line("")?;
                    list.rows(Format::Table, report.services(), report::NOTHING)?;
                    if left > 1 {
                        list.line("")?;
                    }
                }
            }
            list.flush()?;
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// Redraws the terminal, and listens to keys where stdin is one.
    fn on_screen(&self, view: &View, live: &Live, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut sort = self.sort;
        let mut before = Sample::take(view)?;
        let mut rates = Rates::unknown(&before);
        let screen = Screen::enter(list)?;
        loop {
            screen::draw(list, &self.report(&rates, sort))?;
            if left == 0 {
                break;
            }
            let due = before.at + self.interval;
            let mut key = None;
            let woken = wait_until(due, || {
                let Some(keyboard) = screen.keyboard() else {
                    return live.wait(Awaited::Nothing, until(due));
                };
                let woken = live.wait(Awaited::Input(keyboard), until(due))?;
                if woken == Woken::Ready {
                    key = Some(screen.key()?);
                }
                Ok(woken)
            })?;
            match (woken, key) {
                (Woken::Ended, _) | (_, Some(Key::End)) => break,
                (_, Some(Key::Sort(by))) => sort = by,
                (_, Some(Key::Other)) => {}
                (_, None) => {
                    let now = Sample::take(view)?;
                    rates = Rates::between(&before, &now);
                    before = now;
                    left -= 1;
                }
            }
        }
        screen.leave(list)
    }

    fn report(&self, rates: &Rates, sort: Sort) -> Report {
        Report::new(rates, sort, |key| {
            self.namespace.admits(key, self.service.as_ref())
        })
    }
}

fn until(due: Instant) -> Duration {
    due.saturating_duration_since(Instant::now())
}

/// Waits until something comes, or it is due.
fn wait_until(
    due: Instant,
    mut wait: impl FnMut() -> anyhow::Result<Woken>,
) -> anyhow::Result<Woken> {
    loop {
        let woken = wait()?;
        if woken != Woken::Late || until(due).is_zero() {
            return Ok(woken);
        }
    }
}

#[cfg(test)]
mod tests;
