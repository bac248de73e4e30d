//! `hold`: one connection that has to last.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, anyhow};
use clap::Args;
use netproxy_lab::report::{Answer, HoldReport};
use tokio::time::{interval, timeout};

use crate::{
    connection::{Connection, Target},
    print, print_ready, stopped,
};

#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// http://ADDRESS:PORT/
    url: String,
    /// How long from one request to the next.
    #[arg(long, default_value_t = 100)]
    interval_ms: u64,
    /// Ask no more after the first answer, until the end.
    #[arg(long)]
    idle: bool,
    /// How long a request may take.
    #[arg(long, default_value_t = 5000)]
    timeout_ms: u64,
}

impl Hold {
    pub(crate) async fn run(self) -> Result<()> {
        let target = Target::find(&self.url).await?;
        let mut connection = Connection::open(&target, None).await?;
        let mut report = HoldReport {
            requests: 0,
            endpoints: BTreeSet::new(),
            broken: None,
        };
        let mut ticks = interval(Duration::from_millis(self.interval_ms));
        let end = stopped();
        tokio::pin!(end);
        loop {
            let is_idle = self.idle && report.requests > 0;
            let request = async {
                if is_idle {
                    std::future::pending::<()>().await;
                }
                ticks.tick().await;
                self.ask(&mut connection).await
            };
            let (result, is_last) = tokio::select! {
                result = request => (result, false),
                result = &mut end => {
                    result?;
                    if !is_idle {
                        break;
                    }
                    (self.ask(&mut connection).await, true)
                }
            };
            match result {
                Ok(answer) => {
                    report.requests += 1;
                    report.endpoints.insert(answer.endpoint);
                }
                Err(error) => {
                    report.broken = Some(format!("{error:#}"));
                    break;
                }
            }
            if is_last {
                break;
            }
            if report.requests == 1 {
                print_ready(vec![connection.local])?;
            }
        }
        print(&report)
    }

    async fn ask(&self, connection: &mut Connection) -> Result<Answer> {
        timeout(Duration::from_millis(self.timeout_ms), connection.ask())
            .await
            .unwrap_or_else(|_| Err(anyhow!("no answer within {} ms", self.timeout_ms)))
    }
}
