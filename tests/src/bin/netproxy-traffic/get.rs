//! `get`: one request after the other.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use clap::Args;
use netproxy_lab::report::{Answer, Attempt};
use tokio::time::timeout;

use crate::{
    connection::{Connection, Target},
    print,
};

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// http://ADDRESS:PORT/
    url: String,
    /// How many times.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// Keep the connection from one request to the next.
    #[arg(long)]
    keep_alive: bool,
    /// How long a request may take, its connection included.
    #[arg(long, default_value_t = 2000)]
    timeout_ms: u64,
    /// The address and port to connect from; port 0 is any.
    #[arg(long, value_name = "ADDRESS:PORT")]
    from: Option<SocketAddr>,
}

impl Get {
    pub(crate) async fn run(self) -> Result<()> {
        let target = Target::find(&self.url).await?;
        let longest = Duration::from_millis(self.timeout_ms);
        let mut kept = None;
        for _ in 0..self.count {
            let begin = Instant::now();
            let result = timeout(longest, attempt(&target, self.from, kept.take()))
                .await
                .unwrap_or_else(|_| Err(anyhow!("no answer within {} ms", self.timeout_ms)));
            let milliseconds = begin.elapsed().as_secs_f64() * 1000.0;
            print(&match result {
                Ok((answer, connection)) => {
                    let (local, peer) = (connection.local, connection.peer);
                    kept = self.keep_alive.then_some(connection);
                    Attempt::Answered {
                        answer,
                        local,
                        peer,
                        milliseconds,
                    }
                }
                Err(error) => Attempt::Failed {
                    error: format!("{error:#}"),
                    milliseconds,
                },
            })?;
        }
        Ok(())
    }
}

/// One request, on the connection that is there or a new one.
async fn attempt(
    target: &Target,
    from: Option<SocketAddr>,
    kept: Option<Connection>,
) -> Result<(Answer, Connection)> {
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(target, from).await?,
    };
    let answer = connection.ask().await?;
    Ok((answer, connection))
}
