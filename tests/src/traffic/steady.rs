//! Requests that go on while something happens, and none of which may fail.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Hold, Ongoing, Talk};
use crate::report::LoadReport;

/// Loads, connections that are held, and conversations of datagrams.
#[derive(Debug)]
pub struct Steady {
    loads: Vec<Ongoing<LoadReport>>,
    holds: Vec<Hold>,
    talks: Vec<Talk>,
    began: Instant,
}

/// What there was of it.
#[derive(Debug, Default)]
struct Sum {
    connections: u64,
    slowest_us: u64,
    held_requests: u64,
    conversations: u64,
    questions: u64,
    repeated: u64,
    /// What failed, as it was reported.
    failures: Vec<String>,
}

impl Default for Steady {
    fn default() -> Self {
        Self {
            loads: Vec::new(),
            holds: Vec::new(),
            talks: Vec::new(),
            began: Instant::now(),
        }
    }
}

impl Steady {
    /// Adds a load.
    pub fn load(&mut self, load: Ongoing<LoadReport>) {
        self.loads.push(load);
    }

    /// Adds a connection that is to last.
    pub fn hold(&mut self, hold: Hold) {
        self.holds.push(hold);
    }

    /// Adds conversations, each of which is to have one endpoint.
    pub fn talk(&mut self, talk: Talk) {
        self.talks.push(talk);
    }

    /// Ends everything, and prints how much of it there was while this happened.
    ///
    /// # Errors
    /// When a request was not answered, a connection broke, or one of them or a conversation had several endpoints.
    pub fn finish(self, during: &str) -> Result<()> {
        let took = self.began.elapsed();
        let (holds, talks) = (self.holds.len(), self.talks.len());
        let sum = self.end()?;
        println!("{during}, {} s: {}", took.as_secs(), sum.text(holds, talks));
        ensure!(sum.failures.is_empty(), "{}", sum.failures.join("\n"));
        Ok(())
    }

    fn end(self) -> Result<Sum> {
        let mut sum = Sum::default();
        for load in self.loads {
            let report = load.stop()?;
            sum.connections += report.answered;
            sum.slowest_us = sum.slowest_us.max(report.latency.max);
            if report.failed > 0 || report.answered == 0 {
                sum.failures.push(format!("{report:#?}"));
            }
        }
        for hold in self.holds {
            let report = hold.stop()?;
            sum.held_requests += report.requests;
            if report.broken.is_some() || report.endpoints.len() != 1 {
                sum.failures.push(format!("{report:#?}"));
            }
        }
        for talk in self.talks {
            let report = talk.stop()?;
            sum.questions += report.answered;
            sum.conversations += report.conversations;
            sum.repeated += report.repeated;
            if report.failed > 0 || report.moved > 0 || report.answered == 0 {
                sum.failures.push(format!("{report:#?}"));
            }
        }
        Ok(sum)
    }
}

impl Sum {
    fn text(&self, holds: usize, talks: usize) -> String {
        let talks = if talks > 0 {
            format!(
                "; {} questions by UDP in {} conversations, {} asked twice",
                self.questions, self.conversations, self.repeated
            )
        } else {
            String::new()
        };
        format!(
            "{} requests, the slowest took {} ms; {} requests on {holds} connections that are held{talks}; {} with \
             failures",
            self.connections,
            self.slowest_us / 1000,
            self.held_requests,
            self.failures.len()
        )
    }
}
