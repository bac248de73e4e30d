//! Collects what is wrong with a document while it is being understood, so that all of it is told
//! at once.

use super::GoDuration;
use super::document::Document;
use super::error::FieldError;

/// The errors of one document so far.
#[derive(Debug)]
pub(super) struct Check<'a> {
    document: &'a Document,
    errors: &'a mut Vec<FieldError>,
}

impl<'a> Check<'a> {
    pub(super) fn new(document: &'a Document, errors: &'a mut Vec<FieldError>) -> Self {
        Self { document, errors }
    }

    /// What stands at `path` is wrong.
    pub(super) fn refuse(&mut self, path: &str, reason: impl Into<String>) {
        let (base, index) = match path.strip_suffix(']').and_then(|path| path.split_once('[')) {
            Some((base, index)) => (base, index.parse::<usize>().ok()),
            None => (path, None),
        };
        let value = self.document.get(base);
        let value = match index {
            Some(index) => value.and_then(|list| list.get(index)),
            None => value,
        };
        self.errors.push(FieldError {
            field: self.document.name(path),
            value: value.cloned(),
            reason: reason.into(),
        });
    }

    /// The good outcome; a bad one is the reason why `path` is refused.
    pub(super) fn result<T>(&mut self, path: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|reason| self.refuse(path, reason)).ok()
    }

    /// Refuses `path` unless it holds that …
    pub(super) fn require(&mut self, holds: bool, path: &str, reason: &str) {
        if !holds {
            self.refuse(path, reason);
        }
    }

    /// Refuses a negative duration.
    pub(super) fn require_not_negative(&mut self, duration: GoDuration, path: &str) {
        self.require(!duration.is_negative(), path, "must not be negative");
    }
}
