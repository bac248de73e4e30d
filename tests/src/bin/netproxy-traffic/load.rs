//! `load`: requests one after the other, counted and timed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use hdrhistogram::Histogram;
use netproxy_lab::report::{Answer, Latency, LoadReport};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    connection::{Connection, Target},
    print, print_ready, stopped,
};

/// After a failure: a refused connection fails in microseconds, and thousands of them say no more
/// than a hundred.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// http://ADDRESS:PORT/
    url: String,
    /// How many clients ask at once.
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    /// How long; until it is stopped, unless given.
    #[arg(long)]
    seconds: Option<u64>,
    /// Every client keeps its connection.
    #[arg(long)]
    keep_alive: bool,
    /// How long a request may take, its connection included.
    #[arg(long, default_value_t = 2000)]
    timeout_ms: u64,
    /// How long every client waits after each answer.
    #[arg(long, default_value_t = 0)]
    interval_ms: u64,
}

impl Load {
    pub(crate) async fn run(self) -> Result<()> {
        let target = Target::find(&self.url).await?;
        let tally = Arc::new(Mutex::new(Tally::new()?));
        let mut clients = JoinSet::new();
        for _ in 0..self.concurrency {
            let client = Client {
                target: target.clone(),
                tally: tally.clone(),
                is_keep_alive: self.keep_alive,
                longest: Duration::from_millis(self.timeout_ms),
                interval: Duration::from_millis(self.interval_ms),
            };
            clients.spawn(client.run());
        }
        let end = async {
            match self.seconds {
                Some(seconds) => sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = end => {}
            result = stopped() => result?,
            // Clients go on for ever, unless something is wrong with the program.
            Some(ended) = clients.join_next() => ended??,
        }
        // Requests under way are neither answered nor failed.
        clients.shutdown().await;
        let tally = Arc::into_inner(tally).context("a client goes on")?;
        print(
            &tally
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)
                .report(),
        )
    }
}

struct Client {
    target: Target,
    tally: Arc<Mutex<Tally>>,
    is_keep_alive: bool,
    longest: Duration,
    interval: Duration,
}

impl Client {
    async fn run(self) -> Result<()> {
        let mut kept: Option<Connection> = None;
        loop {
            let begin = Instant::now();
            let result = timeout(self.longest, self.attempt(kept.take()))
                .await
                .unwrap_or_else(|_| Err(anyhow!("no answer within {:?}", self.longest)));
            match result {
                Ok((answer, connection)) => {
                    self.count(|tally| tally.answered(answer, begin, &connection))?;
                    kept = self.is_keep_alive.then_some(connection);
                    if !self.interval.is_zero() {
                        sleep(self.interval).await;
                    }
                }
                Err(error) => {
                    self.count(|tally| {
                        tally.failed(&error);
                        Ok(())
                    })?;
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn attempt(&self, kept: Option<Connection>) -> Result<(Answer, Connection)> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(&self.target, None).await?,
        };
        let answer = connection.ask().await?;
        Ok((answer, connection))
    }

    fn count(&self, work: impl FnOnce(&mut Tally) -> Result<()>) -> Result<()> {
        work(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What takes longer counts as this.
const LONGEST_LATENCY_US: u64 = 600_000_000;

struct Tally {
    report: LoadReport,
    /// In microseconds.
    latency: Histogram<u64>,
    begin: Instant,
    last_answer: Instant,
}

impl Tally {
    fn new() -> Result<Self> {
        let begin = Instant::now();
        Ok(Self {
            report: LoadReport::default(),
            latency: Histogram::new_with_max(LONGEST_LATENCY_US, 3).context("the histogram")?,
            begin,
            last_answer: begin,
        })
    }

    fn answered(&mut self, answer: Answer, begin: Instant, connection: &Connection) -> Result<()> {
        if self.report.answered == 0 {
            print_ready(vec![connection.local])?;
        }
        let microseconds = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(microseconds);
        self.report.answered += 1;
        *self.report.by_endpoint.entry(answer.endpoint).or_default() += 1;
        self.close_gap();
        Ok(())
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.report.failed += 1;
        *self.report.errors.entry(format!("{error:#}")).or_default() += 1;
    }

    fn close_gap(&mut self) {
        let now = Instant::now();
        let gap = (now - self.last_answer).as_secs_f64() * 1000.0;
        self.report.longest_gap_milliseconds = self.report.longest_gap_milliseconds.max(gap);
        self.last_answer = now;
    }

    fn report(mut self) -> LoadReport {
        self.close_gap();
        self.report.seconds = self.begin.elapsed().as_secs_f64();
        self.report.latency = Latency {
            p50: self.latency.value_at_quantile(0.5),
            p90: self.latency.value_at_quantile(0.9),
            p99: self.latency.value_at_quantile(0.99),
            p999: self.latency.value_at_quantile(0.999),
            max: self.latency.max(),
        };
        self.report
    }
}
