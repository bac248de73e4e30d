//! `fetch`: one request to any server, and its whole answer.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use http_body_util::BodyExt;
use netproxy_lab::report::Fetched;
use tokio::time::timeout;

use crate::{
    connection::{Connection, Target},
    print,
};

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// http://ADDRESS:PORT/PATH
    url: String,
    /// The request's method.
    #[arg(long, default_value = "GET")]
    method: String,
    /// How long the request may take, its connection included.
    #[arg(long, default_value_t = 2000)]
    timeout_ms: u64,
}

impl Fetch {
    pub(crate) async fn run(self) -> Result<()> {
        let longest = Duration::from_millis(self.timeout_ms);
        let fetched = timeout(longest, self.fetch()).await;
        print(&fetched.with_context(|| format!("no answer within {longest:?}"))??)
    }

    async fn fetch(&self) -> Result<Fetched> {
        let target = Target::find(&self.url).await?;
        let mut connection = Connection::open(&target, None).await?;
        let response = connection.fetch(&self.method).await?;
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| Ok((name.to_string(), value.to_str()?.to_owned())))
            .collect::<Result<_>>()?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Fetched {
            status,
            headers,
            body: String::from_utf8(body.into()).context("the body is not UTF-8")?,
        })
    }
}
