//! External programs: how they are run, logged, shown, and what is said when one fails.
//!
//! A [`Step`] runs behind a progress line (plain lines where standard error is not a terminal), or
//! in the open. Either way its whole output is in its log under `target/log/`, and a failure names
//! the command, how it ended and the end of that log.

mod progress;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{mem, thread};

use anyhow::{Context as _, Result, bail};
use progress::Progress;

/// Lines of a log that a failure repeats.
const TAIL: usize = 30;
/// How often a silent program is looked after.
const TICK: Duration = Duration::from_millis(500);
/// How long processes may outlive the program that started them.
const ORPHANS: Duration = Duration::from_mins(1);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C end the running children (which get the signal too) and lets this process outlive
/// them, so that a lab can clean up while somebody still reads what it prints.
pub(crate) fn await_children_on_interrupt() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .context("cannot install the handler of Ctrl-C")
}

/// An error once Ctrl-C was pressed.
pub(crate) fn ensure_not_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// What `command` prints to standard output, or nothing if it cannot be run or fails: for questions
/// to which "not installed" is an answer.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// One external program, what the user is told it does, and where its output goes.
#[derive(Debug)]
pub(crate) struct Step {
    title: String,
    log: PathBuf,
    command: Command,
}

impl Step {
    pub(crate) fn new(title: impl Into<String>, log: PathBuf, command: Command) -> Self {
        Self {
            title: title.into(),
            log,
            command,
        }
    }

    /// Runs behind a progress line that shows the latest line of output.
    pub(crate) fn run(self) -> Result<()> {
        let progress = Progress::start(&self.title);
        let shown = describe(&self.command);
        let mut tail = VecDeque::with_capacity(TAIL);
        let status = each_line(self.command, &self.log, |line| {
            progress.show(line);
            let Some(line) = line else { return };
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
        })?;
        progress.finish(status.success());
        ensure_not_interrupted()?;
        if !status.success() {
            bail!(
                "{} failed: `{shown}` ended with {status}\nthe end of {}:\n{}",
                self.title,
                self.log.display(),
                indent(tail)
            );
        }
        Ok(())
    }

    /// Runs in the open: every line is printed and handed to `on_line`.
    pub(crate) fn stream(self, mut on_line: impl FnMut(&str)) -> Result<ExitStatus> {
        eprintln!("{}: {}", self.title, describe(&self.command));
        let status = each_line(self.command, &self.log, |line| {
            if let Some(line) = line {
                println!("{line}");
                on_line(line);
            }
        })?;
        ensure_not_interrupted()?;
        Ok(status)
    }
}

/// Runs `command` and hands on its lines, standard output and standard error in one stream; without a
/// line for a while, `on_line` is called with nothing.
///
/// Returns when the last process that holds the stream is gone, not when the first one ends: a test
/// that outlives an interrupted `cargo` still has a reader. What stays longer than [`ORPHANS`] was
/// left behind and is named in a warning.
fn each_line(
    mut command: Command,
    log: &Path,
    mut on_line: impl FnMut(Option<&str>),
) -> Result<ExitStatus> {
    let shown = describe(&command);
    let mut log_file =
        File::create(log).with_context(|| format!("cannot write the log {}", log.display()))?;
    writeln!(log_file, "$ {shown}")?;
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let second = writer.try_clone().context("cannot duplicate a pipe")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(second)
        .spawn()
        .with_context(|| format!("cannot run `{shown}`"))?;
    // The command holds the pipe's writing end: the reader would never see the end of it.
    drop(command);
    let lines = lines_of(reader);
    let mut ended = None;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                log_file.write_all(&line)?;
                on_line(Some(String::from_utf8_lossy(&line).trim_end()));
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                on_line(None);
                if ended.is_none() && child.try_wait()?.is_some() {
                    ended = Some(Instant::now());
                }
                if ended.is_some_and(|ended| ended.elapsed() >= ORPHANS) {
                    eprintln!(
                        "warning: `{shown}` has ended, but processes that it started have not: \
                         look for them with ps"
                    );
                    break;
                }
            }
        }
    }
    child
        .wait()
        .with_context(|| format!("cannot wait for `{shown}`"))
}

/// The lines that come out of `pipe`, with their ends; the channel closes with the pipe.
fn lines_of(pipe: PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            if sender.send(mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    receiver
}

/// `command` as one would type it, without its environment.
pub(crate) fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            if word.is_empty() || word.contains(char::is_whitespace) {
                format!("'{word}'")
            } else {
                word.into_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn indent(lines: impl IntoIterator<Item = String>) -> String {
    lines
        .into_iter()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failed_step_names_the_command_how_it_ended_and_the_end_of_its_log() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("step.log");
        let step = Step::new(
            "count",
            log.clone(),
            shell("seq 1 100; echo refused >&2; exit 3"),
        );

        let message = format!("{:#}", step.run().unwrap_err());

        assert!(message.contains("sh -c 'seq"), "{message}");
        assert!(message.contains("exit status: 3"), "{message}");
        assert!(message.contains("100\n    refused"), "{message}");
        assert!(!message.contains("\n    1\n"), "only the end: {message}");
        let log = std::fs::read_to_string(log)?;
        assert!(log.starts_with("$ sh -c"), "{log}");
        assert!(log.contains("\n1\n2\n"), "all of it: {log}");
        Ok(())
    }

    #[test]
    fn a_stream_outlives_its_first_process() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let step = Step::new(
            "orphan",
            folder.path().join("step.log"),
            shell("(sleep 0.2; echo late) & echo early"),
        );
        let mut lines = Vec::new();

        step.stream(|line| lines.push(line.to_owned()))?;

        assert_eq!(lines, ["early", "late"]);
        Ok(())
    }

    #[test]
    fn a_command_that_does_not_exist_answers_nothing() {
        assert_eq!(ask(&mut Command::new("netproxy-no-such-command")), None);
    }
}
