//! A `netproxy-traffic probe` that stays in a place and does one batch of probes after the other: no
//! process is started per question.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    Place, binary,
    probe::{Batch, Replies},
};

/// A prober in a place. Dropping it ends it.
#[derive(Debug)]
pub struct Prober {
    place: String,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Prober {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<P: Place + ?Sized>(place: &P) -> Result<Self> {
        let mut command = place.command(binary::find("netproxy-traffic")?.as_os_str())?;
        let mut child = command
            .arg("probe")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}: the prober cannot be started", place.name()))?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            place: place.name().to_owned(),
            child,
            orders,
            answers: BufReader::new(answers.context("the prober's standard output")?),
        })
    }

    /// Does a batch; one answer per probe, in order.
    ///
    /// # Errors
    /// When the prober has ended, or says something else.
    pub fn run(&mut self, batch: &Batch) -> Result<Vec<Replies>> {
        self.exchange(batch)
            .with_context(|| format!("{}: the prober failed", self.place))
    }

    fn exchange(&mut self, batch: &Batch) -> Result<Vec<Replies>> {
        let mut line = serde_json::to_vec(batch)?;
        line.push(b'\n');
        let orders = self.orders.as_mut().context("it is closed")?;
        // It reads a whole line before it writes, so neither side waits for the other.
        orders.write_all(&line).context("give it its orders")?;
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .context("read its answers")?;
        let replies: Vec<Replies> =
            serde_json::from_str(&answer).with_context(|| format!("not answers: {answer:?}"))?;
        ensure!(
            replies.len() == batch.probes.len(),
            "{} answers to {} probes",
            replies.len(),
            batch.probes.len()
        );
        Ok(replies)
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        // The end of its orders is its end. One that the lab ended before is only reaped.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}
