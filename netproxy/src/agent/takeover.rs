//! Taking over from another proxy, kube-proxy as a rule, while it serves.
//!
//! Connections that it began go on through its rules, or what netfilter remembers of them: their segments
//! open no flow here, and the tuples in which they are answered are noted before we give out any. A flow of
//! datagrams has no beginning that could be seen; so while frontends come into force, datagrams of unknown
//! flows are left to the other proxy and noted, then netfilter is asked for all that it translates, and only
//! then the first datagram of a flow is ours.

use std::io;
use std::thread::{self, JoinHandle};

use tracing::{debug, error, info};

use super::Agent;
use crate::netfilter::{self, Translated};

/// A look at what netfilter translates, and whether it has rules of another proxy; the kernel walks all of its tables
/// for it.
pub(super) type Look = JoinHandle<(io::Result<Vec<Translated>>, bool)>;

impl Agent {
    /// Asks netfilter what it translates, while what is to be served is planned; unless something is served
    /// already.
    pub(super) fn begin_takeover(&mut self) {
        self.takes_over = self.datapath.serves_nothing();
        self.looking = self
            .takes_over
            .then(|| thread::spawn(|| (netfilter::translated(), netfilter::may_serve())));
    }

    /// Keeps the tuples of connections that netfilter translates, whoever began them, and leaves datagrams to
    /// another proxy, if there may be one: before the first frontend is served.
    pub(super) fn go_on_with_takeover(&mut self) {
        let Some(looking) = self.looking.take() else {
            return;
        };
        let failed = |_| (Err(io::Error::other("the thread panicked")), true);
        let (found, may_serve) = looking.join().unwrap_or_else(failed);
        if let Err(error) = self.note_translated(found, true) {
            error!(error, "connections that another proxy began may be cut");
        }
        if !may_serve {
            return;
        }
        if let Err(error) = self.datapath.leave_datagrams(true) {
            error!(%error, "flows of datagrams that another proxy began may change their endpoint");
        }
    }

    /// Notes what another proxy began; from now on what is new is ours.
    pub(super) fn end_takeover(&mut self) {
        if !std::mem::take(&mut self.takes_over) {
            return;
        }
        match self.note_foreign_flows(true) {
            Ok(0) => {}
            Ok(flows) => info!(
                flows,
                "what another proxy began is left to it until it ends"
            ),
            Err(error) => {
                error!(
                    error,
                    "connections that another proxy began may be cut, and flows of datagrams change \
                     their endpoint"
                );
            }
        }
        if let Err(error) = self.datapath.leave_datagrams(false) {
            error!(%error, "new flows of datagrams are left to another proxy; start the agent anew");
        }
    }

    /// Compares what is left to another proxy with what netfilter still translates.
    pub(super) fn follow_foreign_flows(&mut self) {
        match self.datapath.has_foreign_flows() {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => error!(%error, "flows of another proxy cannot be followed"),
        }
        match self.note_foreign_flows(false) {
            Ok(flows) => debug!(flows, "another proxy's"),
            Err(error) => error!(error, "flows of another proxy cannot be followed"),
        }
    }

    /// Has TCP segments of unknown connections answered with a reset, or left alone: as long as another proxy
    /// has rules, or netfilter goes on with a connection to a frontend of ours, they may be known there. It
    /// takes two looks in a row to say that nobody knows them.
    pub(super) fn judge_unknown_connections(&mut self) {
        let is_elsewhere = netfilter::may_serve()
            || (!self.datapath.resets_unknown() && self.are_connections_elsewhere());
        let is_on = !is_elsewhere && self.is_alone;
        self.is_alone = !is_elsewhere;
        if is_on != self.datapath.resets_unknown() {
            info!(is_on, "resets for segments of unknown connections");
        }
        if let Err(error) = self.datapath.reset_unknown(is_on) {
            error!(%error, "segments of unknown connections may be reset, or not, against what is known");
        }
    }

    fn are_connections_elsewhere(&self) -> bool {
        match netfilter::translated() {
            Ok(connections) => connections.iter().any(|it| self.datapath.is_served(it)),
            Err(error) => {
                debug!(%error, "netfilter's connections cannot be listed");
                true
            }
        }
    }

    fn note_foreign_flows(&mut self, are_new: bool) -> Result<usize, String> {
        self.note_translated(netfilter::translated(), are_new)
    }

    fn note_translated(
        &mut self,
        found: io::Result<Vec<Translated>>,
        are_new: bool,
    ) -> Result<usize, String> {
        let flows =
            found.map_err(|error| format!("netfilter's connections cannot be listed: {error}"))?;
        self.datapath
            .note_foreign_flows(&flows, are_new)
            .map_err(|error| error.to_string())
    }
}
