//! kube-apiserver: its start, its end, and its return.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{
    APISERVER_PORT, ControlPlane, SERVICES_V4, SERVICES_V6, await_component,
    etcd::{self, listens},
};

/// How long it may take to end when it is told to.
const LONGEST_END: Duration = Duration::from_mins(1);

impl ControlPlane<'_> {
    /// Starts the API server (again) and waits until it is ready, and the controllers that there are
    /// with it.
    ///
    /// # Errors
    /// When it runs already, or does not become ready; with what is missing and the end of its log.
    pub fn start_apiserver(&self) -> Result<()> {
        let mut running = self.apiserver();
        ensure!(
            running.is_none(),
            "the API server runs already: stop it first"
        );
        let address = self.address();
        let mut arguments: Vec<_> = [
            format!("--etcd-servers={}", etcd::URL),
            // IPv4 and IPv6.
            "--bind-address=::".to_owned(),
            format!("--secure-port={APISERVER_PORT}"),
            format!("--advertise-address={}", address.ip()),
            format!("--service-cluster-ip-range={SERVICES_V4},{SERVICES_V6}"),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            // Pods may be made without the controller that gives every namespace its account.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            // Else it waits a minute for those who watch to go by themselves.
            "--shutdown-watch-termination-grace-period=1s".to_owned(),
            "--profiling=false".to_owned(),
        ]
        .into();
        arguments.extend(self.credentials.arguments());
        let process = self.spawn("kube-apiserver", &arguments)?;
        await_component(&process, "the API server listens", || {
            listens(self.lab, address)
        })?;
        await_component(&process, "the API server is ready", || {
            self.kubectl(&["get", "--raw", "/readyz?verbose"]).map(drop)
        })?;
        *running = Some(process);
        self.restart_controllers()
    }

    /// Asks the API server to end (SIGTERM), as a rolling upgrade of a control plane does, and waits
    /// for that. etcd goes on.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop_apiserver(&self) -> Result<()> {
        let process = self
            .apiserver()
            .take()
            .context("the API server does not run")?;
        process.stop(LONGEST_END).map(drop)
    }
}
