//! From the maps of one build to those of another, under traffic and in either direction.
//!
//! Maps that are as wanted are adopted, and shared with the programs in force. The others are made anew in a directory
//! of their own, `preparing`, and filled from the old ones. Right before the programs are replaced, those in force are
//! told to open no flow for a moment, and what has changed is carried once more. Then the directory is renamed to
//! `next`: from here on the new maps are the truth, whoever goes on. The programs are replaced, and the new pins put in
//! the place of the old ones, the record of their layouts last.
//!
//! Until all programs are replaced, the new ones open no flow either: its answers might come to a hook that has an old
//! one yet, which would know nothing of it.
//!
//! A process that dies before the renaming has changed nothing. Of one that dies later, the next one first carries what
//! programs have put into old maps since, replaces the programs that are left, by those that the dead one has pinned, and
//! puts the pins in their place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustc_hash::FxHashSet;
use tracing::{info, warn};

use super::contents::ForeignMap;
use super::grace::wait_for_grace_period;
use super::layout::{Layout, Layouts};
use super::pause::Pause;
use super::sizes::Sizes;
use super::transfer::{Transfer, is_possible, of_both_looks};
use super::{DatapathError, Pins, in_force, pause, record};

/// The two tiers of each family's flows: a flow moves from one to the other.
const FLOWS: [Tiers; 2] = [
    Tiers {
        assured: "FLOWS_V4",
        pending: "PENDING_V4",
    },
    Tiers {
        assured: "FLOWS_V6",
        pending: "PENDING_V6",
    },
];

struct Tiers {
    assured: &'static str,
    pending: &'static str,
}

/// Other maps that programs write to.
const WRITTEN: [&str; 7] = [
    "AFFINITY_V4",
    "AFFINITY_V6",
    "PORTS_V4",
    "PORTS_V6",
    "FRAGMENTS_V4",
    "FRAGMENTS_V6",
    "DROPS",
];

/// How often the flow table may take too long to be copied.
const ATTEMPTS: usize = 3;
/// How long new flows are opened between two attempts.
const RESPITE: Duration = Duration::from_secs(2);

/// A start on maps of which some may be another build's.
#[derive(Debug)]
pub(super) struct Succession {
    pins: Pins,
    /// What maps are in force, by name.
    old: BTreeMap<&'static str, Layout>,
    /// What they are to be, with their sizes.
    new: BTreeMap<&'static str, Layout>,
    /// Those of which there are to be new ones; empty: all are adopted.
    changed: Vec<&'static str>,
    transfers: Vec<Transfer>,
}

/// One of which the new maps hold what the old ones do.
#[derive(Debug)]
pub(super) struct CaughtUp {
    succession: Succession,
    began: Instant,
    carried: usize,
}

impl Succession {
    /// Finds out what is in force. Nothing of it changes.
    pub(super) fn begin(
        pins: &Pins,
        compiled: &Layouts,
        sizes: &Sizes,
    ) -> Result<Self, DatapathError> {
        remove(&pins.preparing())?;
        settle(pins)?;
        let recorded = record::read(pins.directory())?;
        let mut old = BTreeMap::new();
        let mut new = BTreeMap::new();
        for name in Pins::map_names() {
            let Some(layout) = compiled.get(name) else {
                continue;
            };
            // A release that kept no record had the layouts of the first that did.
            let told = recorded.as_ref().and_then(|recorded| recorded.get(name));
            let found = ForeignMap::open(&pins.map(name), told.unwrap_or(layout))?;
            let found = found.map(|map| map.layout().clone());
            let entries = sizes.of(name, layout, found.as_ref());
            let wanted = Layout {
                entries,
                ..layout.clone()
            };
            old.extend(found.map(|found| (name, found)));
            new.insert(name, wanted);
        }
        let mut changed: Vec<_> = old
            .iter()
            .filter(|(name, layout)| new.get(*name) != Some(*layout))
            .map(|(name, _)| *name)
            .collect();
        for Tiers { assured, pending } in FLOWS {
            // A flow that old programs move at the last moment would else be in neither of the new ones' maps.
            if changed.contains(&assured) || changed.contains(&pending) {
                changed.extend([assured, pending]);
            }
        }
        if !changed.is_empty() {
            // What is new is made beside what is anew, and the pause is of the old programs alone.
            changed.extend(new.keys().filter(|name| !old.contains_key(*name)));
            changed.push(pause::NAME);
            changed.sort_unstable();
            changed.dedup();
        }
        let succession = Self {
            pins: pins.clone(),
            old,
            new,
            changed,
            transfers: Vec::new(),
        };
        succession.prepare(recorded.as_ref())?;
        Ok(succession)
    }

    /// Writes the record of the maps, before there are any.
    fn prepare(&self, recorded: Option<&Layouts>) -> Result<(), DatapathError> {
        let layouts: Layouts = self
            .new
            .iter()
            .map(|(name, layout)| ((*name).to_owned(), layout.clone()))
            .collect();
        if self.is_needed() {
            let preparing = self.pins.preparing();
            fs::create_dir(&preparing)
                .map_err(DatapathError::file(&preparing, "cannot make the directory"))?;
            return record::write(&preparing, &layouts);
        }
        if recorded != Some(&layouts) {
            record::write(self.pins.directory(), &layouts)?;
        }
        Ok(())
    }

    /// Whether nothing is in force.
    pub(super) fn is_from_nothing(&self) -> bool {
        self.old.is_empty()
    }

    /// Whether there are maps that cannot be adopted.
    pub(super) fn is_needed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Where the programs are to be pinned that hooks are to have.
    pub(super) fn hooks(&self) -> PathBuf {
        self.pins.preparing().join(in_force::HOOKS)
    }

    /// Where a map is pinned, or to be pinned, until this is over.
    pub(super) fn pin(&self, name: &'static str) -> PathBuf {
        if self.changed.contains(&name) {
            self.pins.preparing().join(name)
        } else {
            self.pins.map(name)
        }
    }

    /// The map in force of this name, and what the new one is to be; None: it is adopted.
    pub(super) fn old_and_new(
        &self,
        name: &'static str,
    ) -> Result<Option<(ForeignMap, &Layout)>, DatapathError> {
        let layouts = self.old.get(name).zip(self.new.get(name));
        let Some((old, new)) = layouts.filter(|_| self.changed.contains(&name)) else {
            return Ok(None);
        };
        Ok(ForeignMap::open(&self.pins.map(name), old)?.map(|map| (map, new)))
    }

    /// How many bytes a value of the map in force has that is not adopted; zero: it is.
    pub(super) fn old_value_bytes(&self, name: &'static str) -> u32 {
        let old = self.old.get(name).filter(|_| self.changed.contains(&name));
        old.map_or(0, |old| old.value.bytes)
    }

    /// The sizes of the maps.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.new
            .iter()
            .map(|(name, layout)| (*name, layout.entries))
    }

    /// Fills the maps that were made anew, for the first time.
    pub(super) fn carry(&mut self) -> Result<(), DatapathError> {
        for name in &self.changed {
            let layouts = self.old.get(name).zip(self.new.get(name));
            let Some((old, new)) = layouts.filter(|(old, new)| is_possible(old, new)) else {
                continue;
            };
            if *name == pause::NAME {
                continue;
            }
            let from = ForeignMap::open(&self.pins.map(name), old)?;
            let into = ForeignMap::open(&self.pin(name), new)?;
            if let Some((from, into)) = from.zip(into) {
                let mut transfer = Transfer::new(name, from, into);
                let entries = transfer.carry_all()?;
                info!(map = name, entries, "a map is made anew");
                self.transfers.push(transfer);
            }
        }
        Ok(())
    }

    /// Carries what has changed since [`Self::carry`], after which no flow is opened for a moment.
    pub(super) fn catch_up(mut self) -> Result<CaughtUp, DatapathError> {
        let began = Instant::now();
        let carried = if self.is_needed() {
            self.carry_rest()?
        } else {
            0
        };
        Ok(CaughtUp {
            succession: self,
            began,
            carried,
        })
    }

    /// Whether flows, or what sockets remember of theirs, go on in other maps.
    fn moves_flows(&self) -> bool {
        let flows = FLOWS.iter().flat_map(|it| [it.assured, it.pending]);
        let mut lasting = flows.chain(["SOCKETS", "TALKS"]);
        lasting.any(|name| self.changed.contains(&name))
    }

    /// Lets neither old nor new programs open flows while hooks have the one or the other.
    fn pause_all(&self) -> Result<Vec<Pause>, DatapathError> {
        if !self.moves_flows() {
            return Ok(Vec::new());
        }
        let maps = [self.pins.map(pause::NAME), self.pin(pause::NAME)];
        begin_pauses(&maps, pause::LONGEST)
    }

    /// Carries what has changed since [`Self::carry`], while no flow is opened; yields how many entries.
    fn carry_rest(&mut self) -> Result<usize, DatapathError> {
        let is_pause_needed = self.moves_flows();
        for attempt in 1..=ATTEMPTS {
            let mut pause = if is_pause_needed {
                Pause::open(&self.pins.map(pause::NAME))?
            } else {
                None
            };
            if let Some(pause) = &mut pause {
                pause.begin(pause::LONGEST)?;
            }
            let carried = self.carry_changes();
            let is_in_time = pause.as_ref().is_none_or(Pause::is_young);
            if is_in_time && let Ok(entries) = carried {
                return Ok(entries);
            }
            if let Some(pause) = pause {
                pause.end()?;
            }
            carried?;
            warn!(
                attempt,
                "it took too long to copy the flow table for other programs"
            );
            std::thread::sleep(RESPITE);
        }
        Err(DatapathError::Map {
            map: "FLOWS_V4",
            action: "copied for other programs, which must be done within a second; the node is too busy, and what \
                     was in force stays so",
            source: io::ErrorKind::TimedOut.into(),
        })
    }

    /// Carries the flows that old programs have opened since [`Self::carry_rest`]; yields how many.
    fn carry_late(&self) -> Result<usize, DatapathError> {
        wait_for_grace_period()
            .map_err(DatapathError::map("FLOWS_V4", "waited for (membarrier)"))?;
        let mut count = 0;
        for Tiers { assured, pending } in FLOWS {
            let is_tier = |it: &&Transfer| [assured, pending].contains(&it.name());
            let tiers = || self.transfers.iter().filter(is_tier);
            let known: FxHashSet<_> = tiers().flat_map(Transfer::carried_keys).collect();
            for tier in tiers() {
                count += tier.carry_late(&known)?;
            }
        }
        Ok(count)
    }

    fn carry_changes(&mut self) -> Result<usize, DatapathError> {
        let mut count = 0;
        for tiers in &FLOWS {
            count += self.carry_flows(tiers)?;
        }
        for transfer in &mut self.transfers {
            if WRITTEN.contains(&transfer.name()) {
                let now = transfer.look()?;
                count += transfer.carry_changes(now)?;
            }
        }
        Ok(count)
    }

    /// The first tier is looked at before and after the second one: a flow that moves meanwhile is in one of the
    /// looks.
    fn carry_flows(&mut self, tiers: &Tiers) -> Result<usize, DatapathError> {
        let position = |name| self.transfers.iter().position(|it| it.name() == name);
        let Some((pending, assured)) = position(tiers.pending).zip(position(tiers.assured)) else {
            return Ok(0);
        };
        let first = self.transfers[pending].look()?;
        let in_assured = self.transfers[assured].look()?;
        let second = self.transfers[pending].look()?;
        let in_pending = of_both_looks(&first, second, &in_assured);
        Ok(self.transfers[pending].carry_changes(in_pending)?
            + self.transfers[assured].carry_changes(in_assured)?)
    }
}

impl CaughtUp {
    /// Puts the new programs in the place of all old ones, and attaches what else there is to be, by `attach`.
    ///
    /// # Errors
    /// The one of `attach`, after which the new maps are in force; any other, and nothing has changed.
    pub(super) fn take_over<T>(
        self,
        attach: impl FnOnce() -> Result<T, DatapathError>,
    ) -> Result<T, DatapathError> {
        let succession = &self.succession;
        let pins = &succession.pins;
        if !succession.is_needed() {
            let attached = attach()?;
            pins.forget_others()?;
            return Ok(attached);
        }
        let pauses = succession.pause_all()?;
        let (preparing, next) = (pins.preparing(), pins.next());
        fs::rename(&preparing, &next)
            .map_err(DatapathError::file(&preparing, "cannot be renamed"))?;
        in_force::replace(pins, &next.join(in_force::HOOKS))?;
        let attached = attach();
        // Where that took longer than the pause, or an old program was still running.
        let late = succession.carry_late()?;
        for pause in pauses {
            pause.end()?;
        }
        info!(
            maps = succession.changed.len(),
            entries = self.carried + late,
            within = ?self.began.elapsed(),
            "programs with other maps have taken over"
        );
        put_in_place(pins)?;
        pins.forget_others()?;
        attached
    }
}

impl Drop for Succession {
    /// What was made in vain takes memory.
    fn drop(&mut self) {
        let _ = remove(&self.pins.preparing());
    }
}

/// Goes on where a process died after the new maps had become the truth.
fn settle(pins: &Pins) -> Result<(), DatapathError> {
    let next = pins.next();
    if !next.exists() {
        return Ok(());
    }
    warn!(
        "an earlier process died while programs with other maps took over; going on where it stopped"
    );
    let maps = [pins.map(pause::NAME), next.join(pause::NAME)];
    let pauses = begin_pauses(&maps, pause::LONGEST)?;
    // Where the record is in place, so is all else.
    if let (Some(old), Some(new)) = (record::read(pins.directory())?, record::read(&next)?) {
        let transfer = |name| {
            let layouts = old.get(name).zip(new.get(name));
            let Some((old, new)) = layouts.filter(|(old, new)| is_possible(old, new)) else {
                return Ok(None);
            };
            // One that has been put in its place is not in both directories.
            let Some(into) = ForeignMap::open(&next.join(name), new)? else {
                return Ok(None);
            };
            let from = ForeignMap::open(&pins.map(name), old)?;
            Ok::<_, DatapathError>(from.map(|from| Transfer::new(name, from, into)))
        };
        let mut count = 0;
        for Tiers { assured, pending } in FLOWS {
            let tiers = [transfer(assured)?, transfer(pending)?];
            let mut known = FxHashSet::default();
            for tier in tiers.iter().flatten() {
                known.extend(tier.known()?);
            }
            for tier in tiers.iter().flatten() {
                count += tier.carry_unknown(&known)?;
            }
        }
        for name in WRITTEN {
            if let Some(transfer) = transfer(name)? {
                count += transfer.carry_unknown(&FxHashSet::default())?;
            }
        }
        info!(
            entries = count,
            "what programs have written to old maps is carried on"
        );
    }
    in_force::replace(pins, &next.join(in_force::HOOKS))?;
    for pause in pauses {
        pause.end()?;
    }
    put_in_place(pins)
}

/// Begins the pause of the programs with these maps.
fn begin_pauses(pins: &[PathBuf], longest: Duration) -> Result<Vec<Pause>, DatapathError> {
    let mut pauses = Vec::new();
    for pin in pins {
        if let Some(mut pause) = Pause::open(pin)? {
            pause.begin(longest)?;
            pauses.push(pause);
        }
    }
    Ok(pauses)
}

/// Puts the new pins in the place of the old ones.
fn put_in_place(pins: &Pins) -> Result<(), DatapathError> {
    let next = pins.next();
    let mut names: Vec<_> = fs::read_dir(&next)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.file_name()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(DatapathError::file(&next, "cannot be listed"))?;
    names.retain(|name| name != in_force::HOOKS);
    names.sort_by_key(|name| *name == record::NAME);
    for name in names {
        let pin = next.join(&name);
        fs::rename(&pin, pins.directory().join(&name))
            .map_err(DatapathError::file(&pin, "cannot be renamed"))?;
    }
    fs::remove_dir_all(&next).map_err(DatapathError::file(next, "cannot be removed"))
}

fn remove(directory: &PathBuf) -> Result<(), DatapathError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DatapathError::file(directory, "cannot be removed")(error))
        }
        _ => Ok(()),
    }
}
