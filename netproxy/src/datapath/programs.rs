//! The compiled programs: each is verified and loaded when it is first needed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use aya::maps::{Map, MapData};
use aya::programs::{CgroupSockAddr, Iter, Program, ProgramError, SchedClassifier, Xdp};
use aya::{Btf, Ebpf};
use tracing::debug;

use super::load::unusable;
use super::{DatapathError, ProgramLoad};

/// The programs. They name their maps by descriptor until they are loaded, so every map must be
/// open for as long as there is a program that is not.
pub(super) struct Programs {
    ebpf: Ebpf,
    /// Those that nobody took.
    _maps: BTreeMap<&'static str, Map>,
    loads: Vec<ProgramLoad>,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").finish_non_exhaustive()
    }
}

impl Programs {
    pub(super) fn new(ebpf: Ebpf, maps: BTreeMap<&'static str, Map>) -> Self {
        Self {
            ebpf,
            _maps: maps,
            loads: Vec::new(),
        }
    }

    /// Verifies and loads these, which belong to devices or sockets, two at a time and in this order: the verifier takes a
    /// tenth of a second for the largest, of one CPU.
    pub(super) fn load_ahead(&mut self, names: &[&str]) -> Result<(), DatapathError> {
        let place = |name: &str| names.iter().position(|it| *it == name);
        let mut wanted: Vec<_> = self
            .ebpf
            .programs_mut()
            .filter_map(|(name, program)| Some((place(name)?, program)))
            .collect();
        wanted.sort_by_key(|(place, _)| *place);
        let queue = Mutex::new(wanted.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || -> Result<Vec<_>, DatapathError> {
            let mut loads = Vec::new();
            while let Some((place, program)) = next() {
                loads.extend(load(names[place], program)?);
            }
            Ok(loads)
        };
        let loads = thread::scope(|scope| {
            let other = scope.spawn(work);
            let own = work();
            let other = other.join().unwrap_or_else(|_| Ok(Vec::new()));
            [own, other]
        });
        for loads in loads {
            self.loads.extend(loads?);
        }
        Ok(())
    }

    /// The program of this name for devices, verified and loaded. Verification takes tens of
    /// milliseconds, so a program that no device needs is not loaded.
    pub(super) fn get(&mut self, name: &str) -> Result<&mut SchedClassifier, DatapathError> {
        self.loaded(name)
    }

    /// The program of this name for frames, verified and loaded.
    pub(super) fn xdp(&mut self, name: &str) -> Result<&mut Xdp, DatapathError> {
        self.loaded(name)
    }

    /// The program of this name for sockets, verified and loaded.
    pub(super) fn socket(&mut self, name: &str) -> Result<&mut CgroupSockAddr, DatapathError> {
        self.loaded(name)
    }

    fn loaded<'a, P>(&'a mut self, name: &str) -> Result<P, DatapathError>
    where
        P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        let program = find(&mut self.ebpf, name)?;
        self.loads.extend(load(name, program)?);
        program.try_into().map_err(|error| not_loaded(name, &error))
    }

    /// The program of this name for walking what `target` names in the kernel.
    pub(super) fn iterator(
        &mut self,
        name: &str,
        target: &str,
        btf: &Btf,
    ) -> Result<&mut Iter, DatapathError> {
        let program: &mut Iter = find(&mut self.ebpf, name)?
            .try_into()
            .map_err(|error| not_loaded(name, &error))?;
        if program.fd().is_err() {
            let began = Instant::now();
            program
                .load(target, btf)
                .map_err(|error| not_loaded(name, &error))?;
            let load = ProgramLoad::new(name, program.info().ok(), began.elapsed());
            self.loads.push(load);
        }
        Ok(program)
    }

    /// Hands out a hash map that is not pinned.
    pub(super) fn take_map(&mut self, name: &'static str) -> Result<MapData, DatapathError> {
        match self.ebpf.take_map(name) {
            Some(Map::HashMap(data)) => Ok(data),
            _ => Err(unusable(name)),
        }
    }

    /// What it took to load those that have been.
    pub(super) fn loads(&self) -> &[ProgramLoad] {
        &self.loads
    }
}

/// Loads a program, unless it is; yields what that took.
fn load(name: &str, program: &mut Program) -> Result<Option<ProgramLoad>, DatapathError> {
    let began = Instant::now();
    let info = match program {
        _ if program.fd().is_ok() => return Ok(None),
        Program::SchedClassifier(program) => program.load().map(|()| program.info()),
        Program::CgroupSockAddr(program) => program.load().map(|()| program.info()),
        Program::Xdp(program) => program.load().map(|()| program.info()),
        _ => return Ok(None),
    };
    let info = info.map_err(|error| not_loaded(name, &error))?.ok();
    Ok(Some(ProgramLoad::new(name, info, began.elapsed())))
}

fn find<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, DatapathError> {
    ebpf.program_mut(name).ok_or_else(|| DatapathError::Load {
        what: "program",
        name: name.to_owned(),
        reason: "the compiled programs do not contain it".to_owned(),
        remedy: "; rebuild with `cargo xtask build`",
    })
}

/// The verifier's log may be megabytes long; its end says why.
const VERIFIER_LINES: usize = 12;

fn not_loaded(name: &str, error: &ProgramError) -> DatapathError {
    let reason = if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        let log = verifier_log.to_string();
        debug!(program = name, log, "the verifier's whole log");
        let lines: Vec<_> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(VERIFIER_LINES)..].join("\n");
        format!("{io_error}\n{end}\n")
    } else {
        error.to_string()
    };
    DatapathError::Load {
        what: "program",
        name: name.to_owned(),
        reason,
        remedy: "; netproxy needs Linux 6.1 or newer and CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: \
                 `netproxy check` tells what is missing",
    }
}
