//! The client of one watch.
//!
//! A watch waits for the server and sends nothing, so a connection that has silently died (a lost
//! route, a node that vanished) is only noticed because TCP is told to probe it: after 10 s of
//! silence every 5 s, given up for dead 30 s after the last sign of life. A server that accepts a
//! request and then does not answer is given up after a minute. And the server ends every watch
//! itself after 290 s, whereupon it is resumed.

use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use http::{Response, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::{Body, ConfigExt as _};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tokio::sync::watch;
use tower::layer::layer_fn;
use tower::{BoxError, ServiceBuilder};

use super::KubernetesOptions;
use super::compact::Compact;
use super::measured::Measured;
use crate::source::SourceError;

/// For a TCP connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the head of an answer; the API server gives its own requests a minute.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// Silence after which a connection is probed, and between probes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 4;
/// Time without a sign of life after which a connection is dead, unacknowledged data included.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// A client of the API server that tells when the server has answered.
pub(super) struct Connection {
    client: Client,
    address: String,
    answers: watch::Receiver<u64>,
    /// Whence to read the configuration anew.
    options: Option<KubernetesOptions>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Reads the configuration and prepares a client; nothing is sent yet.
    pub(super) async fn open(options: &KubernetesOptions) -> Result<Self, SourceError> {
        let config = configuration(options).await?;
        let address = config.cluster_url.to_string();
        let connection = Self::with_config(&config).map_err(|source| SourceError::Client {
            address,
            configuration: match &options.kubeconfig {
                Some(path) => path.display().to_string(),
                None => "the pod's service account".to_owned(),
            },
            source: Box::new(source),
        })?;
        Ok(Self {
            options: Some(options.clone()),
            ..connection
        })
    }

    /// A client over TCP, and TLS where the address says so.
    pub(super) fn with_config(config: &Config) -> Result<Self, kube::Error> {
        if let Some(proxy) = &config.proxy_url {
            tracing::warn!(%proxy, "proxy ignored: the API server is reached directly");
        }
        let connector = config.rustls_https_connector_with_connector(connector())?;
        let (count, answers) = watch::channel(0);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer()?)
            .layer(config.extra_headers_layer()?)
            .layer(layer_fn(Compact))
            .map_response(counting(count))
            .map_err(BoxError::from)
            .layer(layer_fn(Measured))
            .timeout(ANSWER_TIMEOUT)
            .service(legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector));
        let client = Client::new(service, &config.default_namespace);
        Ok(Self::over(client, config.cluster_url.to_string(), answers))
    }

    /// With a client whose favourable answers are counted by `answers`.
    pub(super) fn over(client: Client, address: String, answers: watch::Receiver<u64>) -> Self {
        Self {
            client,
            address,
            answers,
            options: None,
        }
    }

    /// Reads the configuration anew: a rotated client certificate or token file. What is there
    /// now is kept if that fails.
    pub(super) async fn renew(&mut self) {
        let Some(options) = self.options.clone() else {
            return;
        };
        match Self::open(&options).await {
            Ok(renewed) => *self = renewed,
            Err(error) => tracing::warn!(%error, "the configuration cannot be read anew"),
        }
    }

    /// The API server's URL.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// For one watch.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Counts the server's favourable answers.
    pub(super) fn answers(&mut self) -> &mut watch::Receiver<u64> {
        &mut self.answers
    }
}

/// Counts favourable answers as they pass.
pub(super) fn counting<B>(
    count: watch::Sender<u64>,
) -> impl Fn(Response<B>) -> Response<B> + Clone + Send {
    move |response| {
        if response.status().is_success() {
            count.send_modify(|count| *count = count.wrapping_add(1));
        }
        response
    }
}

/// TCP that notices a dead peer.
fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(KEEPALIVE_AFTER));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    connector.set_tcp_user_timeout(Some(DEAD_AFTER));
    connector
}

async fn configuration(options: &KubernetesOptions) -> Result<Config, SourceError> {
    let KubernetesOptions { kubeconfig, server } = options;
    let server = server.as_deref().map(server_url).transpose()?;
    let mut config = match kubeconfig {
        Some(path) => {
            let wrong = |source| SourceError::Kubeconfig {
                path: path.clone(),
                source: Box::new(source),
            };
            let file = Kubeconfig::read_from(path).map_err(wrong)?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(wrong)?
        }
        None => match Config::incluster() {
            // The address is overridden anyway: the variables that name it may be missing.
            Err(_) if server.is_some() => Config::incluster_dns(),
            config => config,
        }
        .map_err(|source| SourceError::InCluster(Box::new(source)))?,
    };
    if let Some(server) = server {
        config.cluster_url = server;
    }
    let agent = concat!("netproxy/", env!("CARGO_PKG_VERSION"));
    let agent = HeaderValue::from_static(agent);
    config.headers.push((USER_AGENT, agent));
    Ok(config)
}

/// The override of the API server's address: a URL with a scheme and a host.
fn server_url(address: &str) -> Result<Uri, SourceError> {
    let wrong = |reason: String| SourceError::Address {
        address: address.to_owned(),
        reason,
    };
    let url: Uri = address
        .parse()
        .map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
    match url.scheme_str() {
        Some("http" | "https") if url.host().is_some_and(|host| !host.is_empty()) => Ok(url),
        _ => Err(wrong("it lacks https:// or a host".to_owned())),
    }
}
