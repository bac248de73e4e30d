//! A real control plane in a lab: etcd and kube-apiserver, with RBAC and verified TLS.
//!
//! Its processes run in the underlay's namespace, so nodes reach the API server as they would a
//! machine of their network, and end with the lab. A handle that is dropped leaves them running.
//! Every lab has its own; nothing is shared, and nothing stays.

mod api;
mod apiserver;
mod controllers;
mod credentials;
mod cut;
mod etcd;
mod helm;
mod kind;
mod kube_proxy;
mod kubectl;
mod objects;
mod prometheus;
mod tools;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

pub use self::{
    api::{Api, Write},
    controllers::ENDPOINT_SLICES,
    helm::helm,
    kind::kind_config,
    kube_proxy::Mode,
    objects::Replica,
    prometheus::{Alert, Prometheus, Sample, promtool},
};
use self::{controllers::Controllers, credentials::Credentials, tools::Tools};
use crate::{Lab, Process, wait_for};

/// The range of the cluster IPs, IPv4.
pub const SERVICES_V4: &str = "10.96.0.0/16";
/// The range of the cluster IPs, IPv6.
pub const SERVICES_V6: &str = "fd10:96::/112";
/// The API server's port.
pub const APISERVER_PORT: u16 = 6443;

/// How long a component may take to start on a machine that is busy with other labs.
const LONGEST_START: Duration = Duration::from_secs(90);

/// etcd and kube-apiserver of a lab.
#[derive(Debug)]
pub struct ControlPlane<'lab> {
    lab: &'lab Lab,
    tools: Tools,
    directory: PathBuf,
    credentials: Credentials,
    apiserver: Mutex<Option<Process>>,
    controllers: Mutex<Option<Controllers>>,
    manifests: AtomicUsize,
}

impl<'lab> ControlPlane<'lab> {
    /// Starts both and waits until the API server is ready, bootstrap RBAC included. Nodes and pods
    /// of the lab are not known to it before they are [registered](Self::register_nodes).
    ///
    /// # Errors
    /// When the components were not built (`cargo xtask tools`), or one does not start; with the end
    /// of its log.
    pub fn start(lab: &'lab Lab) -> Result<Self> {
        let tools = Tools::find()?;
        let directory = lab.directory().join("control-plane");
        fs::create_dir(&directory).with_context(|| {
            format!(
                "{} cannot be made: a lab has one control plane",
                directory.display()
            )
        })?;
        let credentials = Credentials::create(&directory, address_of(lab))?;
        let control_plane = Self {
            lab,
            tools,
            directory,
            credentials,
            apiserver: Mutex::default(),
            controllers: Mutex::default(),
            manifests: AtomicUsize::new(0),
        };
        control_plane.prepare_cuts()?;
        control_plane.start_etcd()?;
        control_plane.start_apiserver()?;
        Ok(control_plane)
    }

    /// Where the API server listens, on the underlay. It listens on IPv6 as well.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        address_of(self.lab)
    }

    /// The configuration of a member of `system:masters`.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.credentials.admin_kubeconfig
    }

    /// The configuration of the user `system:kube-proxy`, whom Kubernetes itself lets read what a
    /// proxy needs, and nothing else.
    #[must_use]
    pub fn agent_kubeconfig(&self) -> &Path {
        &self.credentials.agent_kubeconfig
    }

    /// The certificate that the API server's is signed with.
    #[must_use]
    pub fn certificate_authority(&self) -> &Path {
        &self.credentials.authority
    }

    /// The directory of its files. What is put there is gone with the lab.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of a program that was built with it, such as `kube-proxy`.
    ///
    /// # Errors
    /// When it was not built (`cargo xtask tools`).
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        self.tools.path(name)
    }

    /// The directory with definitions of the Prometheus Operator's resources.
    ///
    /// # Errors
    /// When it is not there (`cargo xtask tools`).
    pub fn definitions(&self) -> Result<PathBuf> {
        self.tools.definitions()
    }

    fn apiserver(&self) -> MutexGuard<'_, Option<Process>> {
        self.apiserver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn controllers(&self) -> MutexGuard<'_, Option<Controllers>> {
        self.controllers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a component with its log in the lab's.
    fn spawn(&self, program: &str, arguments: &[String]) -> Result<Process> {
        let path = self.tools.path(program)?;
        let mut command = self.lab.fabric().command(path.as_os_str())?;
        command.args(arguments).env_remove("KUBECONFIG");
        let journal = self.lab.fabric().site().journal();
        journal.start("control-plane", program, command)
    }
}

fn address_of(lab: &Lab) -> SocketAddr {
    SocketAddr::new(lab.fabric().ipv4().into(), APISERVER_PORT)
}

/// Waits until `probe` has no more complaint.
///
/// # Errors
/// When the component ends first, or takes too long; with its last complaint and the end of its log.
fn await_component(
    component: &Process,
    what: &str,
    mut probe: impl FnMut() -> Result<()>,
) -> Result<()> {
    let is_up = || {
        if !component.is_running() {
            return Ok(false);
        }
        probe().map(|()| true)
    };
    let is_up = wait_for(what, LONGEST_START, is_up, |_| true)
        .map_err(|error| component.failure(&format!("{error:#}")))?;
    ensure!(
        is_up,
        component.failure(&format!("it ended before this was so: {what}"))
    );
    Ok(())
}
