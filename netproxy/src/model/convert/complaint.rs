//! What of an object cannot be used: left out, and logged with the object's and the field's name.

use std::fmt::Display;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Complaints about one object that are told one by one; of the others only how many there are.
const TOLD: usize = 8;
/// Characters of a value that are told.
const TOLD_CHARACTERS: usize = 64;

/// What one object's conversion has left out.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told: Vec<Complaint>,
    untold: usize,
}

/// One value that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// Path of the field, as `kubectl explain` takes it.
    pub(super) field: &'static str,
    /// What it holds, cut short.
    pub(super) value: String,
    /// What is wrong, and what follows from it.
    pub(super) reason: &'static str,
}

impl Complaints {
    /// Takes note of a value that is not used.
    pub(super) fn add(&mut self, field: &'static str, value: impl Display, reason: &'static str) {
        if self.told.len() >= TOLD {
            self.untold += 1;
            return;
        }
        let value = value.to_string();
        let value = match value.char_indices().nth(TOLD_CHARACTERS) {
            Some((end, _)) => format!("{}…", &value[..end]),
            None => value,
        };
        self.told.push(Complaint {
            field,
            value,
            reason,
        });
    }

    /// Logs what there is about the object of this kind.
    pub(super) fn log(&self, kind: &'static str, metadata: &ObjectMeta) {
        if self.told.is_empty() {
            return;
        }
        let name = metadata.name.as_deref().unwrap_or_default();
        let object = match metadata.namespace.as_deref() {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        };
        for Complaint {
            field,
            value,
            reason,
        } in &self.told
        {
            tracing::error!(object, field, value, "{reason}");
        }
        if self.untold > 0 {
            tracing::error!(object, values = self.untold, "more of it cannot be used");
        }
    }

    /// What is told one by one.
    #[cfg(test)]
    pub(super) fn told(&self) -> &[Complaint] {
        &self.told
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.told.len() + self.untold
    }
}
