//! `serve`: the listeners.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{http_server, print_ready, sctp::Associations, udp_server};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The name to answer with.
    #[arg(long)]
    name: String,
    /// A TCP port for HTTP; may be given several times.
    #[arg(long, value_name = "PORT")]
    http: Vec<u16>,
    /// An SCTP port for HTTP; may be given several times.
    #[arg(long, value_name = "PORT")]
    sctp: Vec<u16>,
    /// A UDP port; may be given several times.
    #[arg(long, value_name = "PORT")]
    udp: Vec<u16>,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<()> {
        ensure!(
            !(self.http.is_empty() && self.sctp.is_empty() && self.udp.is_empty()),
            "give --http, --sctp or --udp"
        );
        let mut ready = Vec::new();
        let mut servers = JoinSet::new();
        for address in self.http.iter().flat_map(|&port| both_families(port)) {
            let socket = bind(address, Type::STREAM)?;
            socket
                .listen(1024)
                .with_context(|| format!("listen on {address}"))?;
            let listener = TcpListener::from_std(socket.into())?;
            ready.push(address);
            servers.spawn(http_server::serve(self.name.clone(), listener));
        }
        for address in self.sctp.iter().flat_map(|&port| both_families(port)) {
            let listener = Associations::at(address)?;
            ready.push(address);
            servers.spawn(http_server::serve(self.name.clone(), listener));
        }
        for address in self.udp.iter().flat_map(|&port| both_families(port)) {
            let socket = bind(address, Type::DGRAM)?;
            socket.set_nonblocking(false)?;
            let server = udp_server::UdpServer::new(self.name.clone(), socket, address)?;
            ready.push(address);
            // Control messages need recvmsg, which tokio does not offer.
            thread::spawn(move || server.run());
        }
        print_ready(ready)?;
        match servers.join_next().await {
            Some(ended) => ended?,
            None => std::future::pending().await,
        }
    }
}

fn both_families(port: u16) -> [SocketAddr; 2] {
    [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
        .map(|address: IpAddr| SocketAddr::new(address, port))
}

/// One socket per family: with one for both, IPv4 clients would show as `::ffff:…`.
fn bind(address: SocketAddr, kind: Type) -> Result<Socket> {
    let bound = || -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), kind, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if kind == Type::STREAM {
            socket.set_reuse_address(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    bound().with_context(|| format!("bind to {address}"))
}
