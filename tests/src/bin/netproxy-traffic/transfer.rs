//! `download` and `upload`: many bytes on one connection, with their hash.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use netproxy_lab::report::Transfer;
use tokio::time::timeout;

use crate::{
    bytes::{self, Hash},
    connection::{Connection, Target},
    http_server::{ENDPOINT_HEADER, HASH_HEADER, Uploaded},
    print,
};

/// A transfer that stands still fails.
const LONGEST: Duration = Duration::from_mins(2);

#[derive(Debug, Args)]
pub(crate) struct Download {
    /// The server: http://ADDRESS:PORT/
    url: String,
    /// How many bytes.
    #[arg(long, default_value_t = 1_000_000)]
    bytes: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Upload {
    /// The server: http://ADDRESS:PORT/
    url: String,
    /// How many bytes.
    #[arg(long, default_value_t = 1_000_000)]
    bytes: u64,
}

impl Download {
    pub(crate) async fn run(self) -> Result<()> {
        print(&in_time(self.transfer()).await?)
    }

    async fn transfer(self) -> Result<Transfer> {
        let target = Target::find(&self.url).await?;
        let begin = Instant::now();
        let mut connection = Connection::open(&target, None).await?;
        let path = format!("/bytes/{}", self.bytes);
        let response = connection
            .request("GET", &path, Empty::new().boxed_unsync())
            .await?;
        let header = |name: &str| -> Result<String> {
            let value = response.headers().get(name);
            let value = value.with_context(|| format!("the answer has no header {name}"))?;
            Ok(value.to_str()?.to_owned())
        };
        let (endpoint, sent) = (header(ENDPOINT_HEADER)?, header(HASH_HEADER)?);
        let mut hash = Hash::default();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if let Some(chunk) = frame.context("the connection broke")?.data_ref() {
                hash.update(chunk);
            }
        }
        Ok(Transfer {
            endpoint,
            bytes: hash.bytes(),
            sent,
            received: hash.finish(),
            milliseconds: begin.elapsed().as_secs_f64() * 1000.0,
        })
    }
}

impl Upload {
    pub(crate) async fn run(self) -> Result<()> {
        print(&in_time(self.transfer()).await?)
    }

    async fn transfer(self) -> Result<Transfer> {
        let target = Target::find(&self.url).await?;
        let sent = bytes::hash_of(self.bytes);
        let begin = Instant::now();
        let mut connection = Connection::open(&target, None).await?;
        let frames = stream::iter(bytes::chunks(self.bytes)).map(|chunk| Ok(Frame::data(chunk)));
        let body = StreamBody::new(frames).boxed_unsync();
        let response = connection.request("PUT", "/upload", body).await?;
        let body = response.into_body().collect().await?.to_bytes();
        let Uploaded {
            endpoint,
            bytes,
            sha256,
        } = serde_json::from_slice(&body).context("not an answer of netproxy-traffic")?;
        Ok(Transfer {
            endpoint,
            bytes,
            sent,
            received: sha256,
            milliseconds: begin.elapsed().as_secs_f64() * 1000.0,
        })
    }
}

async fn in_time(transfer: impl Future<Output = Result<Transfer>>) -> Result<Transfer> {
    timeout(LONGEST, transfer)
        .await
        .with_context(|| format!("not done within {LONGEST:?}"))?
}
