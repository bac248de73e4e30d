//! What became of a question at one frontend.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use netproxy_lab::probe::Reply;

use crate::{case::Server, vantage::Source};

/// Who answers: a server, on one of its ports.
pub(crate) type Answerer = (Server, u16);

/// All tries together. How often is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Who answered, and whose address they saw.
    pub(crate) answers: BTreeMap<Answerer, BTreeSet<Source>>,
    /// Some tries were refused.
    pub(crate) is_refused: bool,
    /// Some were not answered at all.
    pub(crate) is_silent: bool,
    /// Some ended in another way.
    pub(crate) failures: BTreeSet<String>,
}

impl Outcome {
    /// That of these replies; `source` says whose an address is.
    pub(crate) fn of(replies: &[Reply], source: impl Fn(std::net::IpAddr) -> Source) -> Self {
        let mut outcome = Self::default();
        for reply in replies {
            match reply {
                Reply::Answered {
                    endpoint,
                    port,
                    client,
                } => match Server::from_name(endpoint) {
                    Some(server) => {
                        let seen = outcome.answers.entry((server, *port)).or_default();
                        seen.insert(source(*client));
                    }
                    None => {
                        outcome.failures.insert(format!("answered by {endpoint}"));
                    }
                },
                Reply::Refused => outcome.is_refused = true,
                Reply::Silent => outcome.is_silent = true,
                Reply::Failed(error) => {
                    outcome.failures.insert(error.clone());
                }
            }
        }
        outcome
    }

    pub(crate) fn refused() -> Self {
        Self {
            is_refused: true,
            ..Self::default()
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        !self.answers.is_empty()
    }

    /// In a word.
    pub(crate) fn verdict(&self) -> String {
        let mut words = Vec::new();
        if self.is_answered() {
            words.push("answered".to_owned());
        }
        if self.is_refused {
            words.push("refused".to_owned());
        }
        if self.is_silent {
            words.push("silent".to_owned());
        }
        words.extend(self.failures.iter().cloned());
        words.join(" or ")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for ((server, port), sources) in &self.answers {
            let sources: Vec<_> = sources
                .iter()
                .map(|source| match source {
                    Source::Own => "the client".to_owned(),
                    Source::Node(node) => format!("node {}", node.name()),
                    Source::Other(ip) => ip.to_string(),
                })
                .collect();
            words.push(format!(
                "{}:{port} (who saw {})",
                server.name(),
                sources.join(" and ")
            ));
        }
        let rest = Self {
            answers: BTreeMap::new(),
            ..self.clone()
        }
        .verdict();
        if !rest.is_empty() {
            words.push(rest);
        }
        formatter.write_str(&words.join(", "))
    }
}
