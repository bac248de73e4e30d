//! One copy of every repeated string.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::model::Label;

/// The size below which nothing is swept.
const SMALLEST_SWEEP: usize = 1024;

/// Hands out one shared [`Label`] per distinct string. Strings that nobody holds any longer (names
/// of nodes that are gone) are swept whenever the set has doubled.
#[derive(Debug)]
pub struct Interner {
    labels: FxHashSet<Label>,
    sweep_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            labels: FxHashSet::default(),
            sweep_at: SMALLEST_SWEEP,
        }
    }
}

impl Interner {
    /// The shared copy of `text`.
    pub fn intern(&mut self, text: &str) -> Label {
        if let Some(label) = self.labels.get(text) {
            return label.clone();
        }
        if self.labels.len() >= self.sweep_at {
            self.sweep();
        }
        let label = Label::from(text);
        self.labels.insert(label.clone());
        label
    }

    fn sweep(&mut self) {
        self.labels.retain(|label| Arc::strong_count(label) > 1);
        self.sweep_at = SMALLEST_SWEEP.max(self.labels.len().saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_share_one_allocation() {
        let mut interner = Interner::default();

        let (first, second) = (interner.intern("zone-a"), interner.intern("zone-a"));

        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn strings_that_nobody_holds_are_swept() {
        let mut interner = Interner::default();
        let kept = interner.intern("kept");

        for number in 0..10 * SMALLEST_SWEEP {
            interner.intern(&format!("node-{number}"));
        }

        assert!(interner.labels.len() <= SMALLEST_SWEEP + 1);
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
    }
}
