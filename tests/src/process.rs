//! A program that runs in a place, with its output in the lab's logs.
//!
//! Dropping the handle leaves the program running: it ends with the lab. There is no
//! `PR_SET_PDEATHSIG`: the kernel ties that to the *thread* that started the program, so a program
//! would die with the test's helper thread, or with the owner of a lab that is kept.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const POLL: Duration = Duration::from_millis(2);
/// The end of a log that an error message quotes.
const QUOTED_LINES: usize = 20;

/// A running (or ended) program. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Process {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    title: String,
    pid: Pid,
    child: Mutex<Child>,
    stdout: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its standard output goes to `<stem>.out`, its standard error to `<stem>.log`.
    pub(crate) fn start(title: &str, mut command: Command, stem: &Path) -> Result<Self> {
        let (stdout, log) = (stem.with_extension("out"), stem.with_extension("log"));
        let create = |path: &Path| {
            File::create(path).with_context(|| format!("{} cannot be made", path.display()))
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&stdout)?)
            .stderr(create(&log)?)
            .spawn()
            .with_context(|| format!("{title}: {} cannot be started", quoted(&command)))?;
        let pid = i32::try_from(child.id())
            .map(Pid::from_raw)
            .context("the process id")?;
        let running = Running {
            title: title.to_owned(),
            pid,
            child: child.into(),
            stdout,
            log,
        };
        Ok(Self {
            running: Arc::new(running),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.running.pid
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        text_of(&self.running.stdout)
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        text_of(&self.running.log)
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Holding the child keeps others from reaping it, so the pid is still its own.
        let mut child = self.child();
        if let Some(status) = child.try_wait()? {
            bail!(
                "{} cannot get {signal}: it has ended with {status}",
                self.running.title
            );
        }
        kill(self.running.pid, signal)
            .with_context(|| format!("send {signal} to {}", self.running.title))
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill9(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.child()
            .wait()
            .with_context(|| format!("wait for {}", self.running.title))?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// When it had ended before, or is still there after `longest`.
    pub fn stop(&self, longest: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(longest)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it is still there after `longest`.
    pub fn wait(&self, longest: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + longest;
        loop {
            if let Some(status) = self.child().try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!(
                    "{} has not ended within {longest:?}{}",
                    self.running.title,
                    self.quote()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for the first whole line of its standard output that `accept` takes, and answers with
    /// that.
    ///
    /// # Errors
    /// When it ends first, or does not write one within `longest`; with the end of its log.
    pub fn wait_for_line<T>(
        &self,
        what: &str,
        longest: Duration,
        mut accept: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + longest;
        loop {
            // Asked before reading: what it wrote before it ended still counts.
            let has_ended = self.child().try_wait()?;
            let text = self.stdout();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(found) = whole.lines().find_map(&mut accept) {
                return Ok(found);
            }
            let title = &self.running.title;
            if let Some(status) = has_ended {
                bail!("{title} ended with {status} before {what}{}", self.quote());
            }
            if Instant::now() > deadline {
                bail!(
                    "{title}: {what} has not come within {longest:?}{}",
                    self.quote()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// The error that says why it failed, with the end of its log.
    pub(crate) fn failure(&self, reason: &str) -> anyhow::Error {
        anyhow!("{}: {reason}{}", self.running.title, self.quote())
    }

    /// Takes its exit status from the kernel, if it has ended.
    pub(crate) fn reap(&self) {
        let _ = self.child().try_wait();
    }

    fn quote(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let end = &lines[lines.len().saturating_sub(QUOTED_LINES)..];
        if end.is_empty() {
            String::new()
        } else {
            format!("\n{}", end.join("\n"))
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.running
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command as one would type it.
pub(crate) fn quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn text_of(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
