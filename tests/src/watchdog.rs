//! The process that removes a lab when its owner is done with it, or dead.
//!
//! It waits for the end of its standard input, whose other end only the owner holds: the kernel
//! closes that however the owner ends. It is the one who removes, in the good case too, so the way
//! that matters after a crash is the way that every lab takes.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{binary, run_dir, teardown};

/// The owner's end.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
}

impl Watchdog {
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let child = Command::new(binary::find("netproxy-lab")?)
            .arg("watch")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C goes to the foreground process group, and the watchdog has to outlive that.
            .process_group(0)
            .spawn()
            .context("the lab's watchdog cannot be started")?;
        Ok(Self { child })
    }

    /// Lets it do its work, and waits for that.
    ///
    /// # Errors
    /// When it could not remove the lab; it has said why on standard error.
    pub(crate) fn release(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait().context("wait for the lab's watchdog")?;
        if !status.success() {
            bail!("the lab's watchdog ended with {status}");
        }
        Ok(())
    }
}

/// The watchdog's life: waits for the owner's end, then removes the lab unless it is to be kept.
///
/// # Errors
/// When something of the lab cannot be removed.
pub fn watch(directory: &Path) -> Result<()> {
    let mut rest = Vec::new();
    io::stdin()
        .read_to_end(&mut rest)
        .context("wait for the lab's owner")?;
    match run_dir::read(directory)? {
        Some(record) if record.kept => Ok(()),
        _ => teardown::remove(directory),
    }
}
