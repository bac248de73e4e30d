//! The configuration of a cluster in kind, by kind's own types.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::tools::Tools;
use crate::place::run;

/// Has a configuration read as kind reads it; answers with what it is of.
///
/// # Errors
/// What kind would refuse.
pub fn kind_config(file: &Path) -> Result<String> {
    let mut command = Command::new(Tools::find()?.path("kind-config")?);
    command.arg(file);
    run("kind", command)
}
