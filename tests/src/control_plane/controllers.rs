//! kube-controller-manager, with the controllers that a test needs and no others.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use super::{ControlPlane, await_component, etcd::listens};

/// Makes EndpointSlices of Services with a selector, from Pods.
pub const ENDPOINT_SLICES: &str = "endpointslice-controller";

const PORT: u16 = 10257;

impl ControlPlane<'_> {
    /// Starts kube-controller-manager with these controllers, such as [`ENDPOINT_SLICES`].
    ///
    /// # Errors
    /// When it does not start; with the end of its log.
    pub fn start_controller_manager(&self, controllers: &[&str]) -> Result<()> {
        let kubeconfig = self.admin_kubeconfig().display();
        let certificates = self.directory.join("controller-manager");
        let arguments = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--controllers={}", controllers.join(",")),
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
        })
    }
}
