//! Who answers for every endpoint: one machine that has all of their addresses.

use std::{
    io::Write as _,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener},
    thread,
};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Client, Place};
use socket2::SockRef;

use crate::cluster::{ENDPOINT_PORT, ENDPOINTS};

/// A server on every address of [`ENDPOINTS`], which writes to each connection by which of them it was
/// reached (4 bytes), and closes it. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Backends {
    listener: TcpListener,
}

impl Backends {
    /// Serves on `machine`.
    pub(crate) fn serve(machine: &Client) -> Result<Self> {
        machine.ip(&format!("route add local {ENDPOINTS} dev lo"))?;
        let listener = machine.namespace().inside(|| {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, ENDPOINT_PORT));
            TcpListener::bind(any).with_context(|| format!("listen on {any}"))
        })?;
        let accepting = listener.try_clone()?;
        thread::spawn(move || {
            for stream in accepting.incoming() {
                let Ok(mut stream) = stream else { break };
                if let Ok(SocketAddr::V4(local)) = stream.local_addr() {
                    // A client that has given up is none of the server's concern.
                    let _ = stream.write_all(&local.ip().octets());
                }
            }
        });
        Ok(Self { listener })
    }

    /// Sends what a node has for the endpoints to `machine`.
    pub(crate) fn route(node: &dyn Place, machine: &Client) -> Result<()> {
        ensure!(node.ipv4() != machine.ipv4(), "a machine is no node");
        node.ip(&format!("route add {ENDPOINTS} via {}", machine.ipv4()))
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}
