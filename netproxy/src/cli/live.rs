//! What a command waits for that goes on until it is ended: something to show, time, and its end, by a
//! signal or because nobody reads any more what it prints.

use std::io::{Stdout, stdout};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What it was that came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// What was waited for.
    Ready,
    /// Nothing, in the time given.
    Late,
    /// The command is to end.
    Ended,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Awaited<'a> {
    /// There is something to read.
    Input(BorrowedFd<'a>),
    /// Whoever reads our output has room for a page of it.
    Room,
    /// Time alone.
    Nothing,
}

/// Waits, and notices the end. Signals that end a command are held back for as long as it lives.
#[derive(Debug)]
pub(super) struct Live {
    signals: SignalFd,
    stdout: Stdout,
}

impl Live {
    /// From now on, signals are noticed by [`Self::wait`] alone.
    pub(super) fn begin() -> anyhow::Result<Self> {
        let ends = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
        let mask = SigSet::from_iter(ends);
        mask.thread_block().context("signals cannot be held back")?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .context("signals cannot be waited for")?;
        Ok(Self {
            signals,
            stdout: stdout(),
        })
    }

    /// Waits for so long at most.
    pub(super) fn wait(&self, awaited: Awaited<'_>, longest: Duration) -> anyhow::Result<Woken> {
        // An error of stdout (its reader is gone) is told whether it is asked for or not.
        let (room, input) = match awaited {
            Awaited::Input(input) => (PollFlags::empty(), Some(input)),
            Awaited::Room => (PollFlags::POLLOUT, None),
            Awaited::Nothing => (PollFlags::empty(), None),
        };
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.stdout.as_fd(), room),
        ];
        fds.extend(input.map(|input| PollFd::new(input, PollFlags::POLLIN)));
        // Counted in whole milliseconds: rather one too many than to ask again and again.
        let longest_ms = longest.as_nanos().div_ceil(1_000_000);
        let longest = PollTimeout::try_from(longest_ms).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, longest) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("nothing can be waited for"),
        }
        let seen = |at: usize| {
            fds.get(at)
                .and_then(PollFd::revents)
                .unwrap_or(PollFlags::empty())
        };
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        Ok(if !seen(0).is_empty() || seen(1).intersects(gone) {
            Woken::Ended
        } else if !seen(1).is_empty() || !seen(2).is_empty() {
            Woken::Ready
        } else {
            Woken::Late
        })
    }
}
