//! What is wrong with a configuration.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

use serde_json::Value;
use thiserror::Error;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("configuration {} cannot be written: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file is no YAML.
    #[error("configuration {}: line {line}, column {column}: {reason}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// From 1.
        column: u64,
        /// Why not.
        reason: String,
    },
    /// Documents are missing, strange or doubled.
    #[error("configuration {}: {reason}", path.display())]
    Documents {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// Fields that are wrong, all of them.
    #[error("{origin}: {}", listed(errors))]
    Fields {
        /// `configuration FILE`, or `command line`.
        origin: String,
        /// At least one.
        errors: Vec<FieldError>,
    },
    /// The file cannot be watched.
    #[error(
        "configuration {} cannot be watched: {source}; raise fs.inotify.max_user_watches and \
         fs.inotify.max_user_instances if they are used up",
        path.display()
    )]
    Watch {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: notify::Error,
    },
    /// The file has other content now.
    #[error(
        "configuration {} was changed; the agent ends so that it is started again with the new \
         one. The datapath stays in force",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file has another name now.
    #[error(
        "configuration {} was renamed; the agent ends so that it is started again with what takes \
         its place. The datapath stays in force",
        path.display()
    )]
    Renamed {
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Its path in the document, or its flag.
    pub field: String,
    /// What stands there, if it is not its absence that is wrong.
    pub value: Option<Value>,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl Display for FieldError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            reason,
        } = self;
        match value {
            Some(value) => write!(f, "{field}: {value}: {reason}"),
            None => write!(f, "{field}: {reason}"),
        }
    }
}

/// One error in the line of its origin; several each in a line of their own.
fn listed(errors: &[FieldError]) -> String {
    match errors {
        [error] => error.to_string(),
        errors => errors.iter().fold(
            format!("{} settings are wrong", errors.len()),
            |text, error| format!("{text}\n  {error}"),
        ),
    }
}
