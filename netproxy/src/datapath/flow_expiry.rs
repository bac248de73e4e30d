//! Removing flows past their deadline, a slice at a time: a full table must not keep the agent from anything
//! else.
//!
//! A pass walks the four maps once; a slice goes on where the one before ended. The programs take an entry past
//! its deadline for absent, so nothing waits for this but room in the maps, and what flows refer to.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netproxy_common::{Flow, FlowKey, Ipv4, Ipv6};
use nix::time::{ClockId, clock_gettime};

use super::batch::{self, Walk};
use super::encode::Encode;
use super::flow_table::{FlowTable, InUse, Tier, now_s};
use super::{Datapath, DatapathError, FlowTally, MapFill};

/// Entries between two looks at the clock.
const STRIDE: usize = 256;
/// Entries that are looked at once more right before they are removed together: in between, one may have made
/// way for a new flow.
const TOGETHER: usize = 64;
/// How long past its deadline an entry stays, in seconds: a program that has read the clock just before may
/// be about to prolong it.
const LINGERS_S: u32 = 1;

/// What one [`Datapath::expire_some`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Halves of flows that were removed.
    pub halves: usize,
    /// What the pass over the flow table has seen, at its end.
    pub seen: Option<Seen>,
}

/// What a pass over the flow table has seen, besides the flows that were removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How full its maps are.
    pub fills: Vec<MapFill>,
    /// The flows.
    pub flows: FlowTally,
}

impl Datapath {
    /// Removes flows past their deadline, and frees what no flow refers to any more: ids of services
    /// that are gone, addresses that linger, source ranges.
    /// Yields how many halves were removed.
    pub fn expire_flows(&mut self) -> Result<usize, DatapathError> {
        let mut halves = 0;
        loop {
            let expired = self.expire_some(Duration::MAX)?;
            halves += expired.halves;
            if expired.seen.is_some() {
                return Ok(halves);
            }
        }
    }

    /// A part of [`Self::expire_flows`], which takes about as much time of a CPU.
    pub fn expire_some(&mut self, budget: Duration) -> Result<Expired, DatapathError> {
        let Slice { expired, finished } = self.expiry.go_on(&self.flows, budget)?;
        let Some(Pass {
            began_s,
            in_use,
            seen,
        }) = finished
        else {
            return Ok(Expired {
                halves: expired,
                seen: None,
            });
        };
        self.turnovers.correct(&seen.flows)?;
        self.edges.learn(&in_use, began_s)?;
        let free = self.services.forget_ids_but(&in_use.services);
        self.drops.forget(&free)?;
        self.carried.forget(&free)?;
        if self.addresses.linger() {
            self.addresses.forget_but(&in_use.frontends)?;
        }
        self.services.forget_sources()?;
        Ok(Expired {
            halves: expired,
            seen: Some(seen),
        })
    }
}

/// A pass that is over.
#[derive(Debug)]
pub(super) struct Pass {
    /// When it began, in seconds of `CLOCK_MONOTONIC`.
    pub(super) began_s: u32,
    /// What the living flows refer to.
    pub(super) in_use: InUse,
    pub(super) seen: Seen,
}

/// A pass that goes on.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// Since when, while one is under way.
    began_s: Option<u32>,
    /// Which of the four maps it is at.
    tier: usize,
    walk: Walk,
    entries: u32,
    in_use: InUse,
    seen: Seen,
}

/// What a slice has done.
#[derive(Debug)]
pub(super) struct Slice {
    /// How many halves were removed.
    pub(super) expired: usize,
    /// The pass, once it is over.
    pub(super) finished: Option<Pass>,
}

impl Expiry {
    /// Goes on for as much time of this thread's CPU, and one stride at least.
    pub(super) fn go_on(
        &mut self,
        flows: &FlowTable,
        budget: Duration,
    ) -> Result<Slice, DatapathError> {
        let begin = cpu_time();
        let began_s = *self.began_s.get_or_insert_with(now_s);
        let mut expired = 0;
        loop {
            let Some((tier, is_v4)) = flows.tier(self.tier) else {
                let Self { in_use, seen, .. } = std::mem::take(self);
                return Ok(Slice {
                    expired,
                    finished: Some(Pass {
                        began_s,
                        in_use,
                        seen,
                    }),
                });
            };
            let is_last = if is_v4 {
                self.stride::<Ipv4>(tier, &mut expired)?
            } else {
                self.stride::<Ipv6>(tier, &mut expired)?
            };
            if is_last {
                let entries = std::mem::take(&mut self.entries);
                self.seen.fills.push(tier.fill(entries));
                self.walk = Walk::default();
                self.tier += 1;
            } else if cpu_time().saturating_sub(begin) >= budget {
                return Ok(Slice {
                    expired,
                    finished: None,
                });
            }
        }
    }

    /// Service ids and addresses that are withdrawn while a pass goes on: what it has walked may have come
    /// to refer to them since.
    pub(super) fn withdrawn(
        &mut self,
        services: impl IntoIterator<Item = u32>,
        frontends: impl IntoIterator<Item = IpAddr>,
    ) {
        if self.began_s.is_some() {
            self.in_use.services.extend(services);
            self.in_use.frontends.extend(frontends);
        }
    }

    /// A pair lives as long as its longer half: one half past its deadline is kept while the
    /// other is alive, as the programs see it.
    fn stride<A: Encode>(&mut self, tier: &Tier, expired: &mut usize) -> Result<bool, DatapathError>
    where
        FlowKey<A>: bytemuck::Pod,
        Flow<A>: bytemuck::Pod,
    {
        let past_s = now_s().saturating_sub(LINGERS_S);
        let mut past = Vec::new();
        let read = DatapathError::map(tier.name, "read");
        let Self {
            walk,
            entries,
            in_use,
            seen,
            ..
        } = self;
        let is_assured = tier.is_assured();
        let mut note = |key: &FlowKey<A>, flow: &Flow<A>| {
            in_use.note(key, flow);
            seen.flows.note(key, flow, is_assured);
        };
        let visit = |key: &FlowKey<A>, flow: &Flow<A>| {
            *entries += 1;
            if flow.deadline_s < past_s {
                past.push((*key, *flow));
            } else {
                note(key, flow);
            }
        };
        let is_last = walk.go_on(&tier.map, STRIDE, visit).map_err(read)?;
        for some in past.chunks(TOGETHER) {
            let mut gone = Vec::new();
            for (key, flow) in some {
                let is_alive = is_alive(tier, key, flow, past_s);
                if is_alive.map_err(DatapathError::map(tier.name, "read"))? {
                    note(key, flow);
                } else {
                    gone.push(*key);
                }
            }
            batch::delete(&tier.map, &gone).map_err(DatapathError::map(tier.name, "written"))?;
            *expired += gone.len();
            *entries = entries.saturating_sub(u32::try_from(gone.len()).unwrap_or(u32::MAX));
        }
        Ok(is_last)
    }
}

/// Whether the half that was found as `flow` under `key` is not to go: its partner is alive, or it has made way
/// for another.
fn is_alive<A: Encode>(
    tier: &Tier,
    key: &FlowKey<A>,
    flow: &Flow<A>,
    past_s: u32,
) -> io::Result<bool>
where
    FlowKey<A>: bytemuck::Pod,
    Flow<A>: bytemuck::Pod,
{
    let find = |key: &FlowKey<A>| batch::look_up::<FlowKey<A>, Flow<A>>(&tier.map, key);
    if find(&flow.partner_key(key))?
        .is_some_and(|other| other.is_partner_of(key) && other.deadline_s >= past_s)
    {
        return Ok(true);
    }
    Ok(find(key)?.is_some_and(|now| now.deadline_s >= past_s))
}

/// How much of a CPU the calling thread has used.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Into::into)
}
