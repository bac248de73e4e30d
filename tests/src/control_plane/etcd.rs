//! etcd, which only the API server talks to.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{ControlPlane, await_component};
use crate::Lab;

/// Its clients' URL in the underlay's namespace.
pub(super) const URL: &str = "http://127.0.0.1:2379";
const PORT: u16 = 2379;
const PEERS_URL: &str = "http://127.0.0.1:2380";

impl ControlPlane<'_> {
    /// Starts it, and waits until it listens.
    pub(super) fn start_etcd(&self) -> Result<()> {
        let data = self.directory.join("etcd");
        let arguments = [
            "--name=lab".to_owned(),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={URL}"),
            format!("--advertise-client-urls={URL}"),
            format!("--listen-peer-urls={PEERS_URL}"),
            format!("--initial-advertise-peer-urls={PEERS_URL}"),
            format!("--initial-cluster=lab={PEERS_URL}"),
            // Nothing of it is to outlive the machine.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let etcd = self.spawn("etcd", &arguments)?;
        let address = (Ipv4Addr::LOCALHOST, PORT).into();
        await_component(&etcd, "etcd listens", || listens(self.lab, address))
    }
}

/// Whether somebody listens there, seen from the underlay.
pub(super) fn listens(lab: &Lab, address: SocketAddr) -> Result<()> {
    lab.fabric().namespace().inside(|| {
        TcpStream::connect_timeout(&address, Duration::from_secs(1))
            .map(drop)
            .with_context(|| format!("nobody listens on {address}"))
    })
}
