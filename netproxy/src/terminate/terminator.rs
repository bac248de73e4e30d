//! The agent's end: starts the process that ends sockets, and gives it orders.

use std::io;
use std::process::Stdio;

use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::order::Greeting;
use super::{Doomed, Fate};

/// The command of this program that the process runs.
pub const COMMAND: &str = "terminate-sockets";

/// Why sockets cannot be ended.
#[derive(Debug, Error)]
pub enum TerminatorError {
    /// The process cannot be started.
    #[error("the process that ends sockets cannot be started")]
    Start(#[source] io::Error),
    /// It may not do what it is for.
    #[error("{0}")]
    Unable(String),
    /// It has ended, or says what nobody understands.
    #[error("the process that ends sockets has failed")]
    Failed(#[source] io::Error),
}

/// The process, alive. Dropped, it ends by itself.
#[derive(Debug)]
pub struct Terminator {
    _process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Terminator {
    /// Starts it, and waits until it has shown that it can end sockets.
    pub async fn start() -> Result<Self, TerminatorError> {
        let mut process = Command::new("/proc/self/exe")
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(TerminatorError::Start)?;
        let (Some(orders), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(TerminatorError::Start(io::Error::other("no pipes")));
        };
        let mut terminator = Self {
            _process: process,
            orders,
            answers: BufReader::new(answers),
        };
        match terminator.answer().await? {
            Greeting::Ready => Ok(terminator),
            Greeting::Unable(reason) => Err(TerminatorError::Unable(reason)),
        }
    }

    /// Has these sockets ended; yields what has become of each, in the same order.
    pub async fn end(&mut self, sockets: &[Doomed]) -> Result<Vec<Fate>, TerminatorError> {
        let mut order =
            serde_json::to_vec(sockets).map_err(|error| TerminatorError::Failed(error.into()))?;
        order.push(b'\n');
        let sent = self.orders.write_all(&order).await;
        sent.map_err(TerminatorError::Failed)?;
        self.answer().await
    }

    async fn answer<T: DeserializeOwned>(&mut self) -> Result<T, TerminatorError> {
        let mut line = String::new();
        match self.answers.read_line(&mut line).await {
            Ok(0) => Err(TerminatorError::Failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {
                serde_json::from_str(&line).map_err(|error| TerminatorError::Failed(error.into()))
            }
            Err(error) => Err(TerminatorError::Failed(error)),
        }
    }
}
