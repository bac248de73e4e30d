//! The datapath is opened, which is tenths of a second of the verifier's, while the source's lists come in.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::surroundings::serve_devices;
use super::{AgentError, CHANGES_AT_ONCE};
use crate::datapath::{Datapath, DatapathError, DatapathOptions};
use crate::model::Change;
use crate::netfilter;
use crate::node::{DevicePatterns, NodeNetwork};
use crate::plan::node_ips;
use crate::settings::Settings;
use crate::store::Store;

/// What the datapath is opened with.
pub(super) struct Opening {
    pub(super) datapath: DatapathOptions,
    pub(super) settings: Settings,
    pub(super) patterns: DevicePatterns,
    pub(super) network: Arc<NodeNetwork>,
}

impl Opening {
    /// Opens it, and takes in the changes that come meanwhile.
    pub(super) async fn open(
        self,
        store: &mut Store,
        changes: &mut mpsc::Receiver<Change>,
    ) -> Result<Datapath, AgentError> {
        let mut opened = spawn_blocking(move || self.work());
        let mut received = Vec::new();
        let mut has_source = true;
        loop {
            tokio::select! {
                biased;
                outcome = &mut opened => {
                    let datapath = outcome.map_err(|_| AgentError::Ended("opening of the datapath"))?;
                    return Ok(datapath?);
                }
                count = changes.recv_many(&mut received, CHANGES_AT_ONCE), if has_source => {
                    // Its task knows the reason.
                    has_source = count > 0;
                    received.drain(..).for_each(|change| store.apply(change));
                }
            }
        }
    }

    fn work(self) -> Result<Datapath, DatapathError> {
        let mut datapath = Datapath::open(&self.datapath, self.settings.local_pods.clients())?;
        // Where another proxy serves, sockets are talking. A talk that one begins by way of our packet hooks, before its
        // own are there, would change its endpoint once they are: nothing tells it from a new one.
        if datapath.awaits_sockets() && netfilter::may_serve() {
            datapath.attach_sockets()?;
        }
        // The kernel takes its time with each device. `Agent::look_at_network` does what fails again, and tells of it.
        let _ = serve_devices(
            &mut datapath,
            &self.network,
            &self.patterns,
            &node_ips(&self.settings.node_ips, None),
            &self.settings.local_pods,
        );
        Ok(datapath)
    }
}
