//! A lab with a real API server that holds a cluster of some size: a node with a pod for each proxy, and one
//! machine that answers for all endpoints. Only what is measured runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use netproxy_lab::{
    Cni, ControlPlane, Lab, Place,
    control_plane::{Api, Write},
};

use crate::{
    asker::Asker,
    backends::Backends,
    cluster::{self, ClusterSize},
    running::{self, Running},
    system::System,
};

/// The machine that answers.
const BACKENDS: &str = "backends";

/// Where scenarios take place.
#[derive(Debug)]
pub(crate) struct Arena<'lab> {
    lab: &'lab Lab,
    control_plane: ControlPlane<'lab>,
    api: Api,
    _backends: Backends,
    pub(crate) size: ClusterSize,
}

/// Raises the lab, without an API server.
pub(crate) fn raise(systems: &[System]) -> Result<Lab> {
    let builder = systems
        .iter()
        .fold(Lab::builder("bench"), |builder, system| {
            builder
                .node(system.name(), Cni::PointToPoint)
                .pod(&pod_of(*system))
        });
    builder.client(BACKENDS).up()
}

impl<'lab> Arena<'lab> {
    /// Starts the API server and creates the cluster's objects.
    pub(crate) fn open(lab: &'lab Lab, size: ClusterSize) -> Result<Self> {
        let machine = lab.client(BACKENDS)?;
        let backends = Backends::serve(&machine)?;
        for node in lab.nodes() {
            Backends::route(node, &machine)?;
        }
        let control_plane = ControlPlane::start(lab)?;
        control_plane.register_nodes()?;
        let api = control_plane.connect()?;
        api.write([vec![cluster::namespace()]])?;
        let began = Instant::now();
        api.write(size.creation())
            .context("the cluster's objects")?;
        println!(
            "# {} services with {} endpoints each were created in {:.1} s",
            size.services,
            size.endpoints_each,
            began.elapsed().as_secs_f64()
        );
        Ok(Self {
            lab,
            control_plane,
            api,
            _backends: backends,
            size,
        })
    }

    /// Starts a system's proxy.
    pub(crate) fn start(&self, system: System) -> Result<Running> {
        Running::start(self.lab, &self.control_plane, system)
    }

    /// Removes what a system's proxy has left.
    pub(crate) fn wipe(&self, system: System) -> Result<()> {
        running::wipe(self.lab, system)
    }

    /// A client in the pod of a system's node.
    pub(crate) fn asker(&self, system: System) -> Result<Asker> {
        let pod = self.lab.pod(&pod_of(system))?;
        Ok(Asker::in_place(&pod as &dyn Place))
    }

    /// Another connection to the API server.
    pub(crate) fn connect(&self) -> Result<Api> {
        self.control_plane.connect()
    }

    /// Does one write.
    pub(crate) fn write(&self, write: Write) -> Result<()> {
        self.api.write([vec![write]])
    }
}

/// After so long something is taken to never come.
pub(crate) fn deadline() -> Instant {
    Instant::now() + Duration::from_mins(3)
}

fn pod_of(system: System) -> String {
    format!("pod-{system}")
}
