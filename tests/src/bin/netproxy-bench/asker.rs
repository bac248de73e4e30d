//! A client that asks frontends by real connections, from a place's network namespace.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::Barrier,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, bail, ensure};
use netproxy_lab::{Place, namespace::Namespace};
use socket2::SockRef;

use crate::cluster::{Frontend, SERVICE_PORT};

/// The first try of a frontend waits so long for an answer; the others longer, up to the second: a packet
/// that found no service is not sent again in time.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(50));
/// Between two tries, so that asking leaves the machine to those who are measured.
const PAUSE: Duration = Duration::from_micros(300);

/// A client in a place.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    namespace: Namespace,
}

/// When somebody was first found to answer as wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    /// For comparison with what is written in logs.
    pub(crate) clock: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            at: Instant::now(),
            clock: SystemTime::now(),
        }
    }
}

impl Asker {
    pub(crate) fn in_place(place: &dyn Place) -> Self {
        Self {
            namespace: place.namespace().clone(),
        }
    }

    /// Asks these frontends, one after the other and each until one of its endpoints has answered. Answers
    /// with the moment of the last that was not right at once; None: all of them were.
    ///
    /// # Errors
    /// When one is not answered rightly until the deadline.
    pub(crate) fn await_all(
        &self,
        frontends: &[Frontend],
        deadline: Instant,
    ) -> Result<Option<Moment>> {
        self.namespace.inside(|| {
            let mut last = None;
            for frontend in frontends {
                if await_one(frontend, deadline)? {
                    last = Some(Moment::now());
                }
            }
            Ok(last)
        })
    }

    /// Asks a frontend that is about to change until one of its new endpoints has answered. `begun` is reached
    /// when it has been asked for the first time.
    ///
    /// # Errors
    /// When it is right before it was changed, or not until the deadline.
    pub(crate) fn await_change(
        &self,
        frontend: &Frontend,
        begun: &Barrier,
        deadline: Instant,
    ) -> Result<Moment> {
        self.namespace.inside(|| {
            let before = ask(frontend.address, PATIENCE.1);
            begun.wait();
            ensure!(
                before.is_none_or(|endpoint| !frontend.has(endpoint)),
                "{frontend:?} is answered by {before:?} already"
            );
            await_one(frontend, deadline)?;
            Ok(Moment::now())
        })
    }
}

/// Waits until it is right; answers with whether that took more than one try.
fn await_one(frontend: &Frontend, deadline: Instant) -> Result<bool> {
    let mut patience = PATIENCE.0;
    let mut has_waited = false;
    loop {
        let answer = ask(frontend.address, patience);
        if answer.is_some_and(|endpoint| frontend.has(endpoint)) {
            return Ok(has_waited);
        }
        if Instant::now() > deadline {
            bail!("{frontend:?} is answered by {answer:?}");
        }
        has_waited = true;
        thread::sleep(PAUSE);
        patience = PATIENCE.1.min(patience + PATIENCE.0 / 3);
    }
}

/// One connection; answers with the endpoint that took it.
fn ask(address: Ipv4Addr, patience: Duration) -> Option<Ipv4Addr> {
    let address = SocketAddr::from((address, SERVICE_PORT));
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    // Nothing of it is left, neither here nor at the server.
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .ok()?;
    stream.set_read_timeout(Some(PATIENCE.1)).ok()?;
    let mut endpoint = [0; 4];
    stream.read_exact(&mut endpoint).ok()?;
    Some(endpoint.into())
}
