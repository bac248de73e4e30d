//! Who writes the datapath: one process at a time, by a lock on the directory of the pins.

use std::fs::{self, File};
use std::io;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{DatapathError, Pins};

/// The right to write, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Claim {
    _directory: Flock<File>,
}

impl Pins {
    /// Claims the datapath, whose directory is made if there is none; None: another process has it.
    pub fn claim(&self) -> Result<Option<Claim>, DatapathError> {
        self.create()?;
        self.claim_existing()
    }

    /// Claims what is there, if anything is.
    ///
    /// # Errors
    /// [`DatapathError::InUse`]: another process has it.
    pub fn claim_for_removal(&self) -> Result<Option<Claim>, DatapathError> {
        if !fs::exists(self.root()).unwrap_or(false) {
            return Ok(None);
        }
        match self.claim_existing()? {
            Some(claim) => Ok(Some(claim)),
            None => Err(DatapathError::InUse {
                path: self.directory().to_owned(),
            }),
        }
    }

    fn claim_existing(&self) -> Result<Option<Claim>, DatapathError> {
        let path = self.root();
        let failed = |error: io::Error| DatapathError::file(path, "cannot be locked")(error);
        let directory = File::open(path).map_err(failed)?;
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(directory) => Ok(Some(Claim {
                _directory: directory,
            })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}
