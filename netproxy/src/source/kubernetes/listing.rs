//! From the events of one kind's watch to changes: a pure state machine.
//!
//! A list may begin again at any time (the server has forgotten where we were), and what it leaves
//! out may only be removed once it is complete. Names are all that is remembered of the objects.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::runtime::watcher::Event;
use rustc_hash::FxHashSet;

use super::kind::Watched;
use crate::model::convert::{Interner, object_name};
use crate::model::{Change, ObjectName};

/// Where the watch of kind `K` stands.
#[derive(Debug)]
pub(super) struct Listing<K> {
    interner: Interner,
    /// What has been told to exist.
    known: FxHashSet<ObjectName>,
    /// What the list in progress has shown so far; None when none is in progress.
    seen: Option<FxHashSet<ObjectName>>,
    is_complete: bool,
    kind: PhantomData<K>,
}

/// Opens when every kind has been listed completely.
#[derive(Debug)]
pub(super) struct Latch {
    missing: AtomicUsize,
}

impl<K: Watched> Listing<K> {
    /// Nothing known yet.
    pub(super) fn new() -> Self {
        Self {
            interner: Interner::default(),
            known: FxHashSet::default(),
            seen: None,
            is_complete: false,
            kind: PhantomData,
        }
    }

    /// Whether a list is in progress.
    pub(super) fn is_in_progress(&self) -> bool {
        self.seen.is_some()
    }

    /// Whether what has been told is complete and no list is in progress.
    pub(super) fn is_current(&self) -> bool {
        self.is_complete && self.seen.is_none()
    }

    /// Appends to `changes` what `event` means.
    pub(super) fn fold(&mut self, event: Event<K>, changes: &mut Vec<Change>) {
        match event {
            Event::Init => self.seen = Some(FxHashSet::default()),
            Event::InitApply(object) | Event::Apply(object) => self.apply(&object, changes),
            Event::Delete(object) => {
                if let Some(name) = object_name(object.meta(), &mut self.interner) {
                    self.remove(name, changes);
                }
            }
            Event::InitDone => self.complete(changes),
        }
    }

    fn apply(&mut self, object: &K, changes: &mut Vec<Change>) {
        let Some(name) = object_name(object.meta(), &mut self.interner) else {
            return;
        };
        let Some(change) = object.exists(&mut self.interner) else {
            // It may have been of concern before: a label was added, say.
            return self.remove(name, changes);
        };
        if let Some(seen) = &mut self.seen {
            seen.insert(name.clone());
        }
        self.known.insert(name);
        changes.push(change);
    }

    fn remove(&mut self, name: ObjectName, changes: &mut Vec<Change>) {
        if let Some(seen) = &mut self.seen {
            seen.remove(&name);
        }
        if self.known.remove(&name) {
            changes.push(K::gone(name));
        }
    }

    fn complete(&mut self, changes: &mut Vec<Change>) {
        let Some(seen) = self.seen.take() else {
            return;
        };
        let gone = self.known.extract_if(|name| !seen.contains(name));
        changes.extend(gone.map(K::gone));
        if self.known.is_empty()
            && let Some(change) = K::nothing_listed()
            && changes.last() != Some(&change)
        {
            changes.push(change);
        }
        self.is_complete = true;
    }
}

impl Latch {
    /// For so many kinds.
    pub(super) fn new(kinds: usize) -> Self {
        Self {
            missing: AtomicUsize::new(kinds),
        }
    }

    /// Records that one more kind is complete (each records itself once, after its changes have
    /// been sent). True for the last of them.
    pub(super) fn complete_one(&self) -> bool {
        self.missing.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

#[cfg(test)]
mod tests;
