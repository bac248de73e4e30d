//! What the user sees of a step that runs behind a progress line.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};

/// How often a long step reports where there is no terminal to draw on.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The line that tells what a step is doing: drawn on a terminal, printed now and then elsewhere.
pub(super) struct Progress {
    title: String,
    bar: ProgressBar,
    started: Instant,
    reported: Cell<Instant>,
}

impl Progress {
    pub(super) fn start(title: &str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(String::new());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg:.dim}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        if bar.is_hidden() {
            eprintln!("{title} …");
        }
        let now = Instant::now();
        Self {
            title: title.to_owned(),
            bar,
            started: now,
            reported: Cell::new(now),
        }
    }

    /// Shows the latest line, if there is one, and that time passes.
    pub(super) fn show(&self, line: Option<&str>) {
        if let Some(line) = line {
            self.bar.set_message(line.to_owned());
        }
        if self.bar.is_hidden() && self.reported.get().elapsed() >= HEARTBEAT {
            self.reported.set(Instant::now());
            let elapsed = FormattedDuration(self.started.elapsed());
            eprintln!("  {elapsed} {}", self.bar.message().trim_start());
        }
    }

    pub(super) fn finish(&self, success: bool) {
        self.bar.finish_and_clear();
        let mark = if success { "done" } else { "FAILED" };
        eprintln!(
            "{} … {mark} in {}",
            self.title,
            FormattedDuration(self.started.elapsed())
        );
    }
}
