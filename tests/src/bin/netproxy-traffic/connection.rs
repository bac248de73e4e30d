//! One client connection, by TCP or SCTP, that carries HTTP requests.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::{Request, Response, Uri, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use netproxy_lab::report::Answer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, lookup_host},
};

use crate::sctp::Association;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A URL, and where that is: `http://…` by TCP, `sctp://…` by SCTP.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    is_sctp: bool,
    host: String,
    path: String,
}

impl Target {
    pub(crate) async fn find(url: &str) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        let scheme = uri.scheme_str();
        let is_sctp = scheme == Some("sctp");
        ensure!(
            is_sctp || scheme == Some("http"),
            "{url}: the scheme has to be http or sctp"
        );
        let authority = uri
            .authority()
            .with_context(|| format!("{url} has no host"))?;
        let host = authority.as_str().to_owned();
        let place = if authority.port().is_some() {
            host.clone()
        } else {
            format!("{host}:80")
        };
        let address = lookup_host(&place)
            .await
            .with_context(|| format!("look {place} up"))?
            .next()
            .with_context(|| format!("{place} has no address"))?;
        Ok(Self {
            address,
            is_sctp,
            host,
            path: uri.path().to_owned(),
        })
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: http1::SendRequest<Body>,
    host: String,
    path: String,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
}

impl Connection {
    /// Opens one, from `from` if that matters.
    pub(crate) async fn open(target: &Target, from: Option<SocketAddr>) -> Result<Self> {
        if target.is_sctp {
            let association = Association::open(target.address, from).await?;
            let (local, peer) = (association.local_addr()?, association.peer_addr()?);
            return Self::over(association, target, local, peer).await;
        }
        let stream = match from {
            None => TcpStream::connect(target.address).await?,
            Some(from) => {
                let socket = if from.is_ipv4() {
                    TcpSocket::new_v4()?
                } else {
                    TcpSocket::new_v6()?
                };
                // A fixed port has to be usable again while the last connection is in TIME_WAIT.
                socket.set_reuseaddr(true)?;
                socket
                    .bind(from)
                    .with_context(|| format!("bind to {from}"))?;
                socket.connect(target.address).await?
            }
        };
        stream.set_nodelay(true)?;
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        Self::over(stream, target, local, peer).await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        target: &Target,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<Self> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // Its error reaches whoever waits for the response.
        tokio::spawn(driver);
        let Target { host, path, .. } = target.clone();
        Ok(Self {
            sender,
            host,
            path,
            local,
            peer,
        })
    }

    /// Asks who answers.
    pub(crate) async fn ask(&mut self) -> Result<Answer> {
        let path = self.path.clone();
        let response = self
            .request("GET", &path, Empty::new().boxed_unsync())
            .await?;
        let body = response.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&body).context("not an answer of netproxy-traffic")
    }

    /// Gets the target, whatever the status.
    pub(crate) async fn fetch(&mut self, method: &str) -> Result<Response<Incoming>> {
        let path = self.path.clone();
        self.send(method, &path, Empty::new().boxed_unsync()).await
    }

    /// Sends a request and awaits the head of a good response.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Body,
    ) -> Result<Response<Incoming>> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        status
            .is_success()
            .then_some(response)
            .ok_or_else(|| anyhow!("HTTP status {status}"))
    }

    async fn send(&mut self, method: &str, path: &str, body: Body) -> Result<Response<Incoming>> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .body(body)?;
        Ok(self.sender.send_request(request).await?)
    }
}
