//! HTTP: who answers whom, bytes to download, a place to upload to.

use std::{fmt::Debug, io, net::SocketAddr};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, Path, State, connect_info::Connected},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::IntoResponse,
    routing,
    serve::{IncomingStream, Listener},
};
use futures::{StreamExt, TryStreamExt, stream};
use netproxy_lab::report::Answer;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::{
    bytes::{self, Hash},
    sctp::Associations,
};

/// The header of `/bytes/N` with the SHA-256 of what follows.
pub(crate) const HASH_HEADER: &str = "x-sha256";
/// The header of `/bytes/N` with the server's name.
pub(crate) const ENDPOINT_HEADER: &str = "x-endpoint";

/// What `/upload` answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Uploaded {
    pub(crate) endpoint: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    client: SocketAddr,
    server: Option<SocketAddr>,
}

impl Connected<IncomingStream<'_, Associations>> for Ends {
    fn connect_info(stream: IncomingStream<'_, Associations>) -> Self {
        Self {
            client: *stream.remote_addr(),
            server: stream.io().local_addr().ok(),
        }
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Ends {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self {
            client: *stream.remote_addr(),
            server: stream.io().local_addr().ok(),
        }
    }
}

pub(crate) async fn serve<L>(name: String, listener: L) -> Result<()>
where
    L: Listener<Addr: Debug>,
    Ends: for<'a> Connected<IncomingStream<'a, L>>,
{
    let router = Router::new()
        .route("/bytes/{count}", routing::get(send))
        .route("/upload", routing::put(receive))
        .fallback(answer)
        .with_state(name);
    let service = router.into_make_service_with_connect_info::<Ends>();
    axum::serve(listener, service)
        .await
        .context("the HTTP server")
}

async fn answer(
    State(endpoint): State<String>,
    ConnectInfo(Ends { client, server }): ConnectInfo<Ends>,
) -> Result<Json<Answer>, Failure> {
    let server = server.context("the connection is gone")?;
    Ok(Json(Answer {
        endpoint,
        client,
        server,
        payload: None,
    }))
}

async fn send(
    State(endpoint): State<String>,
    Path(count): Path<u64>,
) -> Result<impl IntoResponse, Failure> {
    let hash = tokio::task::spawn_blocking(move || bytes::hash_of(count)).await?;
    let mut headers = HeaderMap::new();
    headers.insert(HASH_HEADER, HeaderValue::from_str(&hash)?);
    headers.insert(ENDPOINT_HEADER, HeaderValue::from_str(&endpoint)?);
    headers.insert("content-length", HeaderValue::from(count));
    let body = Body::from_stream(stream::iter(bytes::chunks(count)).map(Ok::<_, io::Error>));
    Ok((headers, body))
}

async fn receive(State(endpoint): State<String>, body: Body) -> Result<Json<Uploaded>, Failure> {
    let mut hash = Hash::default();
    let mut data = body.into_data_stream();
    while let Some(chunk) = data.try_next().await? {
        hash.update(&chunk);
    }
    Ok(Json(Uploaded {
        endpoint,
        bytes: hash.bytes(),
        sha256: hash.finish(),
    }))
}

/// Any error, answered with status 500.
struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> axum::response::Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{:#}\n", self.0)).into_response()
    }
}
