//! The terminal while it is ours: another screen than the shell's, without a cursor, and keys as they are
//! pressed. However this ends, the shell gets back what it had.

use std::io::{self, IsTerminal as _, Stdin, Write as _, stdin};
use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::Context as _;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{QueueableCommand as _, queue};

use super::Sort;
use super::report::{self, Report};
use crate::cli::table::{Format, Listing};

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// q, or Ctrl-C.
    End,
    /// One that sorts.
    Sort(Sort),
    /// Anything else.
    Other,
}

impl From<u8> for Key {
    fn from(byte: u8) -> Self {
        const CTRL_C: u8 = 3;
        match byte {
            b'q' | CTRL_C => Self::End,
            b's' => Self::Sort(Sort::Service),
            b'f' => Self::Sort(Sort::Flows),
            b'n' => Self::Sort(Sort::New),
            b'b' => Self::Sort(Sort::Bytes),
            b'd' => Self::Sort(Sort::Drops),
            _ => Self::Other,
        }
    }
}

impl Key {
    /// What is meant by several that were pressed before they could be read: the last that means anything,
    /// but an end is an end.
    pub(super) fn among(bytes: &[u8]) -> Self {
        const ESCAPE: u8 = 0x1b;
        let mut meant = Self::Other;
        let mut rest = bytes.iter();
        while let Some(byte) = rest.next() {
            if *byte == ESCAPE {
                // Of a key that is several bytes (an arrow), none is meant by itself (ECMA-48, section 5.4).
                if matches!(rest.next(), Some(b'[' | b'O')) {
                    rest.find(|byte| matches!(byte, 0x40..=0x7e));
                }
                continue;
            }
            match Self::from(*byte) {
                Self::End => return Self::End,
                Self::Other => {}
                sort @ Self::Sort(_) => meant = sort,
            }
        }
        meant
    }
}

/// The terminal.
#[derive(Debug)]
pub(super) struct Screen {
    keyboard: Option<Stdin>,
    is_ours: bool,
}

impl Screen {
    /// Takes it.
    pub(super) fn enter(list: &mut Listing<'_>) -> anyhow::Result<Self> {
        let keyboard = Some(stdin()).filter(Stdin::is_terminal);
        // Before the first change: what fails half-way is undone.
        let screen = Self {
            keyboard,
            is_ours: true,
        };
        if screen.keyboard.is_some() {
            enable_raw_mode().context("the terminal cannot be read key by key")?;
        }
        let mut bytes = Vec::new();
        queue!(bytes, EnterAlternateScreen, Hide)?;
        list.raw(&bytes)?;
        list.flush()?;
        Ok(screen)
    }

    /// Where keys come from.
    pub(super) fn keyboard(&self) -> Option<BorrowedFd<'_>> {
        self.keyboard.as_ref().map(Stdin::as_fd)
    }

    /// The key that was pressed. A keyboard that is gone ends it.
    pub(super) fn key(&self) -> anyhow::Result<Key> {
        let Some(keyboard) = self.keyboard() else {
            return Ok(Key::Other);
        };
        let mut bytes = [0; 16];
        let length =
            nix::unistd::read(keyboard, &mut bytes).context("the terminal cannot be read")?;
        Ok(if length == 0 {
            Key::End
        } else {
            Key::among(&bytes[..length])
        })
    }

    /// Gives it back.
    pub(super) fn leave(mut self, list: &mut Listing<'_>) -> anyhow::Result<()> {
        self.is_ours = false;
        let restored = restored()?;
        self.release_keyboard();
        list.raw(&restored)?;
        list.flush()
    }

    fn release_keyboard(&self) {
        if self.keyboard.is_some() {
            // A terminal that is gone needs nothing.
            let _ = disable_raw_mode();
        }
    }
}

/// Shows a report on a terminal that is ours, as much of it as fits.
pub(super) fn draw(list: &mut Listing<'_>, report: &Report) -> anyhow::Result<()> {
    let (width, height) = size().unwrap_or((80, 24));
    let mut text = report.head();
    text.push(String::new());
    let mut rows = Vec::new();
    Listing::new(&mut rows, None).rows(Format::Table, report.services(), report::NOTHING)?;
    text.extend(String::from_utf8_lossy(&rows).lines().map(str::to_owned));
    let mut bytes = Vec::new();
    for (line, row) in text.iter().zip(0..height) {
        let fitting: String = line.chars().take(usize::from(width)).collect();
        bytes.queue(MoveTo(0, row))?;
        bytes.write_all(fitting.as_bytes())?;
        bytes.queue(Clear(ClearType::UntilNewLine))?;
    }
    // Where all lines are taken there is none below the last.
    if text.len() < usize::from(height) {
        bytes.queue(MoveTo(0, u16::try_from(text.len()).unwrap_or(0)))?;
        bytes.queue(Clear(ClearType::FromCursorDown))?;
    }
    list.raw(&bytes)?;
    list.flush()
}

impl Drop for Screen {
    fn drop(&mut self) {
        if !self.is_ours {
            return;
        }
        self.release_keyboard();
        if let Ok(bytes) = restored() {
            // Past the buffer that whoever prints holds: this is the way out of an error.
            let _ = nix::unistd::write(io::stdout(), &bytes);
        }
    }
}

fn restored() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    queue!(bytes, Show, LeaveAlternateScreen)?;
    Ok(bytes)
}
