//! What runs in a lab, and what it logged.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Result;

use crate::{Process, run_dir::RunDir};

/// Shared by all places of a lab.
#[derive(Debug)]
pub(crate) struct Journal {
    run_dir: RunDir,
    processes: Mutex<Vec<Process>>,
    started: AtomicUsize,
}

impl Journal {
    pub(crate) fn new(run_dir: RunDir) -> Self {
        Self {
            run_dir,
            processes: Mutex::default(),
            started: AtomicUsize::new(0),
        }
    }

    pub(crate) fn run_dir(&self) -> &RunDir {
        &self.run_dir
    }

    /// Starts a program of a place, with logs of its own.
    pub(crate) fn start(&self, place: &str, title: &str, command: Command) -> Result<Process> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let stem = self
            .directory()
            .join(format!("{number:03}-{place}-{}", title.replace('/', "-")));
        let process = Process::start(&format!("{place}: {title}"), command, &stem)?;
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(process.clone());
        Ok(process)
    }

    /// Everything that was logged, program by program, in the order in which they were started.
    pub(crate) fn logs(&self) -> String {
        let Ok(entries) = fs::read_dir(self.directory()) else {
            return String::new();
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let texts = paths.iter().filter_map(|path| {
            let text = String::from_utf8_lossy(&fs::read(path).ok()?).into_owned();
            (!text.trim().is_empty()).then(|| format!("--- {}\n{}\n", name_of(path), text.trim()))
        });
        texts.collect()
    }

    /// Takes the exit status of everything that has ended.
    pub(crate) fn reap(&self) {
        for process in self
            .processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            process.reap();
        }
    }

    fn directory(&self) -> PathBuf {
        self.run_dir.path().join("logs")
    }
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
