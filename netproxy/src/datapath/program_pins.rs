//! The programs of devices, pinned by name beside the links that hold them: for `netproxy trace`. From a link one
//! comes to its program by an id alone, and opening that takes `CAP_SYS_ADMIN` (`bpf_prog_get_fd_by_id` in
//! `kernel/bpf/syscall.c`).

use std::collections::BTreeSet;
use std::fs;
use std::io;

use aya::programs::SchedClassifier;
use tracing::warn;

use super::{DatapathError, Pins};
use crate::causes::with_causes;

/// Which of this process's programs are pinned.
#[derive(Debug)]
pub(super) struct ProgramPins {
    pins: Pins,
    done: BTreeSet<&'static str>,
}

impl ProgramPins {
    pub(super) fn new(pins: &Pins) -> Self {
        Self {
            pins: pins.clone(),
            done: BTreeSet::new(),
        }
    }

    /// Pins a program that is attached by now, in the place of an earlier process's, in one step. Traffic needs no
    /// pin: where there can be none, packets cannot be traced.
    pub(super) fn put(&mut self, name: &'static str, program: &mut SchedClassifier) {
        if self.done.contains(name) {
            return;
        }
        match self.replace(name, program) {
            Ok(()) => {
                self.done.insert(name);
            }
            Err(error) => warn!(
                error = with_causes(&error),
                "`netproxy trace` cannot run it"
            ),
        }
    }

    fn replace(&self, name: &str, program: &mut SchedClassifier) -> Result<(), DatapathError> {
        let directory = self.pins.programs();
        let pin = directory.join(name);
        // Names with a dot are the kernel's (`bpf_lookup` in kernel/bpf/inode.c).
        let new = directory.join(format!("{name}-new"));
        let failed = |error| DatapathError::file(&pin, "the program cannot be pinned")(error);
        fs::create_dir_all(&directory).map_err(failed)?;
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        program
            .pin(&new)
            .map_err(|error| failed(io::Error::other(with_causes(&error))))?;
        fs::rename(&new, &pin).map_err(failed)
    }
}
