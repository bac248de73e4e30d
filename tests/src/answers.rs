//! What came of a number of requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result, ensure};

use crate::report::Attempt;

/// What came of a number of requests, counted and whole.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Who answered, and how often.
    pub by_endpoint: BTreeMap<String, usize>,
    /// The client's addresses as the servers saw them.
    pub clients: BTreeSet<IpAddr>,
    /// The servers' own addresses that were asked, as the servers saw them.
    pub servers: BTreeSet<SocketAddr>,
    /// The other side's addresses as the client saw them.
    pub peers: BTreeSet<SocketAddr>,
    /// Why requests were not answered.
    pub errors: Vec<String>,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
}

impl Answers {
    /// Reads the lines that `netproxy-traffic get` and `ask` print.
    ///
    /// # Errors
    /// When a line is something else.
    pub fn parse(lines: &str) -> Result<Self> {
        let mut answers = Self::default();
        for line in lines.lines() {
            let attempt: Attempt =
                serde_json::from_str(line).with_context(|| format!("not an attempt: {line}"))?;
            match &attempt {
                Attempt::Answered { answer, peer, .. } => {
                    *answers
                        .by_endpoint
                        .entry(answer.endpoint.clone())
                        .or_default() += 1;
                    answers.clients.insert(answer.client.ip());
                    answers.servers.insert(answer.server);
                    answers.peers.insert(*peer);
                }
                Attempt::Failed { error, .. } => answers.errors.push(error.clone()),
            }
            answers.attempts.push(attempt);
        }
        Ok(answers)
    }

    /// How many requests were answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.by_endpoint.values().sum()
    }

    /// The names of those who answered.
    #[must_use]
    pub fn endpoints(&self) -> BTreeSet<&str> {
        self.by_endpoint.keys().map(String::as_str).collect()
    }

    /// The client's addresses and ports as the servers saw them.
    #[must_use]
    pub fn sources(&self) -> BTreeSet<SocketAddr> {
        let seen = self.attempts.iter().filter_map(|attempt| match attempt {
            Attempt::Answered { answer, .. } => Some(answer.client),
            Attempt::Failed { .. } => None,
        });
        seen.collect()
    }

    /// Whether there were requests and all of them were answered.
    ///
    /// # Errors
    /// With everything that is known, when not.
    pub fn all_answered(self) -> Result<Self> {
        ensure!(
            self.errors.is_empty() && self.answered() > 0,
            "{} of {} requests were answered: {:?}, by {:?}",
            self.answered(),
            self.attempts.len(),
            self.errors,
            self.by_endpoint
        );
        Ok(self)
    }

    /// Whether all requests were answered, and all by `endpoint`.
    ///
    /// # Errors
    /// With everything that is known, when not.
    pub fn only_from(self, endpoint: &str) -> Result<Self> {
        let answers = self.all_answered()?;
        ensure!(
            answers.endpoints() == BTreeSet::from([endpoint]),
            "not only {endpoint} answered: {:?}",
            answers.by_endpoint
        );
        Ok(answers)
    }
}
