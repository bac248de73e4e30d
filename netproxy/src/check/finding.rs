//! One thing a check has found.

/// One thing a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub subject: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What is the case, and what follows from it.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works; worth knowing.
    Note,
    /// Works, but some traffic is treated otherwise than expected.
    Warning,
    /// netproxy cannot serve this node.
    Problem,
}

impl Finding {
    pub(super) fn ok(subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            subject,
            level: Level::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    pub(super) fn note(subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            subject,
            level: Level::Note,
            found: found.into(),
            remedy: None,
        }
    }

    pub(super) fn warning(subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            subject,
            level: Level::Warning,
            found: found.into(),
            remedy: None,
        }
    }

    pub(super) fn problem(subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            subject,
            level: Level::Problem,
            found: found.into(),
            remedy: None,
        }
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}
