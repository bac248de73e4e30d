//! The process that ends sockets: orders in, fates out.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use caps::Capability;

use super::namespaces::Home;
use super::order::Greeting;
use super::socket_diag::SocketDiag;
use super::{Doomed, Fate};
use crate::capabilities::keep_only;
use crate::node::socket_option;

/// Serves orders until the input ends.
///
/// # Errors
/// The input cannot be read or the output not be written, or this thread's namespace cannot be come back to.
pub fn serve(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    // Nothing else is needed from here on; what is not granted shows by itself.
    let _ = keep_only(&[
        Capability::CAP_SYS_ADMIN,
        Capability::CAP_SYS_PTRACE,
        Capability::CAP_NET_ADMIN,
    ]);
    let home = match prepare() {
        Ok(home) => home,
        Err(reason) => return say(&mut output, &Greeting::Unable(reason)),
    };
    say(&mut output, &Greeting::Ready)?;
    for line in input.lines() {
        let order: Vec<Doomed> = serde_json::from_str(&line?)?;
        say(&mut output, &carry_out(&home, &order)?)?;
    }
    Ok(())
}

fn say(output: &mut impl Write, message: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *output, message)?;
    output.write_all(b"\n")?;
    output.flush()
}

/// Shows by doing it that this process may enter network namespaces and end sockets.
fn prepare() -> Result<Home, String> {
    let home = Home::of_this_thread()
        .map_err(|error| format!("its own network namespace cannot be opened: {error}"))?;
    let itself = std::fs::File::open("/proc/self/ns/net")
        .map_err(|error| format!("/proc/self/ns/net cannot be opened: {error}"))?;
    let entered = home.leave_for(itself.as_fd(), || Ok(()));
    entered.flatten().map_err(|error| {
        format!("network namespaces cannot be entered: {error} (it takes CAP_SYS_ADMIN)")
    })?;
    end_own_socket().map_err(|error| {
        format!(
            "sockets cannot be ended: {error} (it takes CAP_NET_ADMIN, and a kernel with \
             CONFIG_INET_DIAG_DESTROY and CONFIG_INET_UDP_DIAG)"
        )
    })?;
    Ok(home)
}

/// Ends a socket of this process that nobody needs. Its datagrams go nowhere.
fn end_own_socket() -> io::Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.connect(socket.local_addr()?)?;
    let own = Doomed {
        netns: 0,
        cookie: socket_option(socket.as_fd(), libc::SO_COOKIE)?,
        protocol: netproxy_common::protocol::UDP,
        endpoint: socket.local_addr()?,
    };
    match SocketDiag::open()?.end_all(&[own]).pop() {
        Some(Fate::Ended) => Ok(()),
        Some(Fate::Refused(reason)) => Err(io::Error::other(reason)),
        fate => Err(io::Error::other(format!("its own is {fate:?}"))),
    }
}

/// What becomes of each socket, in the order given.
fn carry_out(home: &Home, order: &[Doomed]) -> io::Result<Vec<Fate>> {
    let mut fates = vec![Fate::Unreachable; order.len()];
    let mut by_netns: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, socket) in order.iter().enumerate() {
        by_netns.entry(socket.netns).or_default().push(index);
    }
    Home::tour(|namespace| {
        let Ok(diag) = home.leave_for(namespace, SocketDiag::open)? else {
            return Ok(true);
        };
        let here = diag.netns().ok().and_then(|netns| by_netns.remove(&netns));
        if let Some(here) = here {
            let sockets: Vec<_> = here.iter().map(|index| order[*index]).collect();
            for (index, fate) in here.into_iter().zip(diag.end_all(&sockets)) {
                fates[index] = fate;
            }
        }
        Ok(!by_netns.is_empty())
    })?;
    Ok(fates)
}
