//! Real connections and real configuration.

use std::fs;
use std::net::SocketAddr;

use http::Uri;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use kube::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::connection::Connection;
use crate::metrics::Metrics;
use crate::source::SourceError;
use crate::source::kubernetes::KubernetesOptions;

/// In /proc/net/tcp, a socket whose keepalive timer is running.
const KEEPALIVE_TIMER: &str = "02";

/// The running timer of the socket bound to `local`, from /proc/net/tcp.
fn timer(local: SocketAddr) -> Option<String> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", local.port());
    let line = table.lines().find(|line| {
        let address = line.split_whitespace().nth(1);
        address.is_some_and(|address| address.ends_with(&port))
    })?;
    let timer = line.split_whitespace().nth(5)?;
    Some(timer.split(':').next()?.to_owned())
}

#[tokio::test]
async fn a_silent_connection_is_probed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Uri = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let connection = Connection::with_config(&Config::new(url)).unwrap();
    let nodes = Api::<Node>::all(connection.client());
    let asking = tokio::spawn(async move { nodes.list(&ListParams::default()).await });

    let (stream, client) = listener.accept().await.unwrap();
    // Once the request has been acknowledged, the only timer left is the keepalive's.
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        stream.readable().await.unwrap();
        let _ = stream.try_read_buf(&mut request);
    }
    let found = tokio::task::spawn_blocking(move || {
        std::iter::repeat_with(|| timer(client)).find(|found| found.as_deref() != Some("01"))
    });

    assert_eq!(
        found.await.unwrap().flatten().as_deref(),
        Some(KEEPALIVE_TIMER)
    );
    asking.abort();
}

#[tokio::test]
async fn every_request_is_counted_with_its_outcome() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url: Uri = format!("http://{address}").parse().unwrap();
    let connection = Connection::with_config(&Config::new(url)).unwrap();
    let nodes = Api::<Node>::all(connection.client());
    let server = tokio::spawn(async move {
        let answers = [
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "nonsense",
        ];
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut head).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });

    for _ in 0..2 {
        nodes.list(&ListParams::default()).await.unwrap_err();
    }
    server.await.unwrap();

    let (_, page) = Metrics::new(Timestamp::now(), 0);
    let page = page.text().unwrap();
    for code in ["403", "<error>"] {
        let labels = format!("code=\"{code}\",host=\"{address}\",method=\"GET\"");
        let line = format!("rest_client_requests_total{{{labels}}} 1");
        assert!(page.lines().any(|it| it == line), "{line}: {page}");
    }
    let labels = format!("host=\"{address}\",verb=\"GET\"");
    let line = format!("rest_client_request_duration_seconds_count{{{labels}}} 2");
    assert!(page.lines().any(|it| it == line), "{line}: {page}");
}

#[tokio::test]
async fn a_wrong_configuration_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let broken = directory.path().join("broken");
    fs::write(&broken, "clusters: 7\n").unwrap();
    let open = async |kubeconfig: Option<&std::path::PathBuf>, server: Option<&str>| {
        let options = KubernetesOptions {
            kubeconfig: kubeconfig.cloned(),
            server: server.map(str::to_owned),
        };
        Connection::open(&options).await.unwrap_err()
    };

    for path in [&missing, &broken] {
        let error = open(Some(path), None).await;
        assert!(matches!(error, SourceError::Kubeconfig { .. }), "{error:?}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
    for address in [
        "",
        "192.0.2.1:6443",
        "https://",
        "ftp://192.0.2.1",
        "https://a b",
    ] {
        let error = open(Some(&missing), Some(address)).await;
        assert!(
            matches!(error, SourceError::Address { .. }),
            "{address}: {error:?}"
        );
    }
}

#[tokio::test]
async fn the_configured_address_can_be_overridden() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
        clusters: [{name: c, cluster: {server: 'https://10.96.0.1'}}]\n\
        contexts: [{name: here, context: {cluster: c, user: u}}]\n\
        users: [{name: u, user: {token: t}}]\n";
    fs::write(&kubeconfig, text).unwrap();
    let address = async |server: Option<&str>| {
        let options = KubernetesOptions {
            kubeconfig: Some(kubeconfig.clone()),
            server: server.map(str::to_owned),
        };
        let connection = Connection::open(&options).await.unwrap();
        connection.address().to_owned()
    };

    assert_eq!(address(None).await, "https://10.96.0.1/");
    assert_eq!(
        address(Some("https://192.0.2.1:6443")).await,
        "https://192.0.2.1:6443/"
    );
}
