//! kube-controller-manager, with the controllers that a test needs and no others.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use super::{ControlPlane, await_component, etcd::listens};
use crate::Process;

/// Makes EndpointSlices of Services with a selector, from Pods.
pub const ENDPOINT_SLICES: &str = "endpointslice-controller";

const PORT: u16 = 10257;

/// A kube-controller-manager that runs.
#[derive(Debug)]
pub(super) struct Controllers {
    process: Process,
    /// What it was asked to control.
    names: Vec<&'static str>,
}

impl ControlPlane<'_> {
    /// Starts kube-controller-manager with these controllers, such as [`ENDPOINT_SLICES`].
    ///
    /// # Errors
    /// When it does not start; with the end of its log.
    pub fn start_controller_manager(&self, names: &[&'static str]) -> Result<()> {
        let process = self.spawn_controllers(names)?;
        *self.controllers() = Some(Controllers {
            process,
            names: names.to_vec(),
        });
        Ok(())
    }

    /// Starts the controllers anew if there are any, for an API server that was away: their watches
    /// wait up to a minute before they try again (client-go's reflector).
    pub(super) fn restart_controllers(&self) -> Result<()> {
        let mut controllers = self.controllers();
        if let Some(controllers) = &mut *controllers {
            controllers.process.kill9()?;
            controllers.process = self.spawn_controllers(&controllers.names)?;
        }
        Ok(())
    }

    fn spawn_controllers(&self, names: &[&str]) -> Result<Process> {
        let kubeconfig = self.admin_kubeconfig().display();
        let certificates = self.directory.join("controller-manager");
        let arguments = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--controllers={}", names.join(",")),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={PORT}"),
            format!("--cert-dir={}", certificates.display()),
            // Changes are to be seen at once, not gathered.
            "--endpointslice-updates-batch-period=0".to_owned(),
            "--profiling=false".to_owned(),
        ];
        let process = self.spawn("kube-controller-manager", &arguments)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        await_component(&process, "the controller manager listens", || {
            listens(self.lab, address)
        })?;
        Ok(process)
    }
}
