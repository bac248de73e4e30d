//! A lab with a real API server that holds a cluster of some size: a node with a pod for each proxy, a client outside,
//! and one machine that answers for all endpoints. Only what is measured runs.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};
use netproxy_lab::objects::replace;
use netproxy_lab::{
    Client, Cni, ControlPlane, Lab, Node, Objects, Place,
    control_plane::{Api, Write},
};
use serde_json::json;

use crate::{
    asker::Asker,
    backends::Backends,
    cluster::{self, ClusterSize},
    running::{self, Running},
    standing::Standing,
    system::System,
    web::{self, Way, What},
};

/// The machine that answers.
const BACKENDS: &str = "backends";
/// The client outside.
const OUTSIDE: &str = "outside";
/// Client's source ports, so many that no short run uses one twice.
const CLIENT_PORTS: (&str, &str) = ("ipv4/ip_local_port_range", "1024 65535");

/// How many services a proxy is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of the cluster.
    All,
    /// Those that traffic goes to.
    Few,
}

/// Where scenarios take place.
#[derive(Debug)]
pub(crate) struct Arena<'lab> {
    lab: &'lab Lab,
    control_plane: ControlPlane<'lab>,
    api: Api,
    _backends: Backends,
    standing: Mutex<Standing>,
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
    builder.client(BACKENDS).client(OUTSIDE).up()
}

impl<'lab> Arena<'lab> {
    /// Starts the API server and creates the cluster's objects.
    pub(crate) fn open(lab: &'lab Lab, size: ClusterSize) -> Result<Self> {
        let machine = lab.client(BACKENDS)?;
        let backends = Backends::serve(&machine)?;
        for node in lab.nodes() {
            Backends::route(node, &machine)?;
        }
        Backends::route(&lab.client(OUTSIDE)?, &machine)?;
        be_like_nics(lab)?;
        let control_plane = ControlPlane::start(lab)?;
        control_plane.register_nodes()?;
        let api = control_plane.connect()?;
        api.write([vec![cluster::namespace()]])?;
        let began = Instant::now();
        api.write(size.creation())
            .context("the cluster's objects")?;
        api.write(web::creation(lab).collect::<Vec<_>>())
            .context("the Services that traffic goes to")?;
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
            standing: Mutex::default(),
            size,
        })
    }

    /// Starts a system's proxy.
    pub(crate) fn start(&self, system: System) -> Result<Running> {
        Running::start(self.lab, &self.control_plane, system, None)
    }

    /// Starts netproxy with objects from files, of which there are as many as `extent` says.
    pub(crate) fn start_on(&self, system: System, extent: Extent) -> Result<Running> {
        let objects = self.objects(extent)?;
        Running::start(
            self.lab,
            &self.control_plane,
            system,
            Some(objects.directory()),
        )
    }

    /// The files, written the first time.
    fn objects(&self, extent: Extent) -> Result<Objects> {
        let name = match extent {
            Extent::All => "all-objects",
            Extent::Few => "few-objects",
        };
        let directory = self.lab.directory().join(name);
        let are_written = directory.exists();
        let objects = Objects::in_directory(directory)?;
        if are_written {
            return Ok(objects);
        }
        for node in self.lab.nodes() {
            objects.put_node(node)?;
        }
        let mut writes: Vec<_> = web::creation(self.lab).flatten().collect();
        if extent == Extent::All {
            writes.extend(self.size.creation().flatten());
        }
        let items = writes.into_iter().filter_map(|write| match write {
            Write::Create(_, object) => Some(object),
            _ => None,
        });
        let items: Vec<_> = items.collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        replace(
            &objects.directory().join("services.json"),
            &list.to_string(),
        )?;
        Ok(objects)
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

    /// Who asks, and where, to have something by a way through a system; its proxy is in place, and those of others
    /// do nothing meanwhile.
    pub(crate) fn road(
        &self,
        system: System,
        way: Way,
        what: What,
    ) -> Result<(Box<dyn Place>, SocketAddr)> {
        self.stand(system)?;
        self.ends(system, way, what)
    }

    /// As [`Arena::road`], through whatever is in place.
    pub(crate) fn way(
        &self,
        system: System,
        way: Way,
        what: What,
    ) -> Result<(Box<dyn Place>, SocketAddr)> {
        self.serve()?;
        self.forget_connections(system)?;
        self.ends(system, way, what)
    }

    fn ends(&self, system: System, way: Way, what: What) -> Result<(Box<dyn Place>, SocketAddr)> {
        let pod = self.lab.pod(&pod_of(system))?;
        let node = self.lab.node(system.name())?;
        let to = if system.proxy().is_some() {
            web::frontend(way, what, node.ipv4())
        } else {
            web::endpoint(way, what, pod.ipv4())
        };
        let from: Box<dyn Place> = match way {
            Way::ClusterIp => Box::new(pod),
            Way::NodePortRemote | Way::NodePortLocal => Box::new(self.lab.client(OUTSIDE)?),
        };
        Ok((from, to))
    }

    /// As [`Arena::road`], past the Service.
    pub(crate) fn bypass(
        &self,
        system: System,
        what: What,
    ) -> Result<(Box<dyn Place>, SocketAddr)> {
        self.stand(system)?;
        let pod = self.lab.pod(&pod_of(system))?;
        let to = web::endpoint(Way::ClusterIp, what, pod.ipv4());
        Ok((Box::new(pod), to))
    }

    /// The lab.
    pub(crate) fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// The machine that answers.
    pub(crate) fn backends(&self) -> Result<Client> {
        self.lab.client(BACKENDS)
    }

    /// The client outside.
    pub(crate) fn outside(&self) -> Result<Client> {
        self.lab.client(OUTSIDE)
    }

    /// A system's node.
    pub(crate) fn node(&self, system: System) -> Result<Node> {
        self.lab.node(system.name())
    }

    /// The device of a system's pod on its node.
    pub(crate) fn host_device(&self, system: System) -> Result<String> {
        Ok(self.lab.pod(&pod_of(system))?.host_device().to_owned())
    }

    /// Has those run who answer for the Services that traffic goes to.
    fn serve(&self) -> Result<()> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if !standing.is_served {
            let machine = self.lab.client(BACKENDS)?;
            web::serve(self.lab, &self.control_plane, &machine)?;
            standing.is_served = true;
        }
        Ok(())
    }

    /// Has a system's proxy in place, and every other one do nothing.
    fn stand(&self, system: System) -> Result<()> {
        self.serve()?;
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.turn_to(system, || {
            let running = self.start(system)?;
            running.await_synced(deadline())?;
            Ok(running)
        })?;
        self.forget_connections(system)
    }

    /// What netfilter remembers of the last run is none of the next one's business.
    fn forget_connections(&self, system: System) -> Result<()> {
        let node = self.lab.node(system.name())?;
        node.run(&["conntrack", "--flush"])
            .map(drop)
            .context("cargo xtask bench installs conntrack")
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

/// What NICs do, and veth pairs do not: checksums are complete on the wire, and frames arrive that the other end's XDP
/// program sends (a veth only takes them if it has an XDP program itself: `veth_xdp_flush`).
fn be_like_nics(lab: &Lab) -> Result<()> {
    let with_xdp = lab
        .nodes()
        .iter()
        .find(|it| it.name() == System::NetproxyXdp.name());
    if let Some(node) = with_xdp {
        let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ebpf/foreign");
        let mut programs = Ebpf::load_file(object).context("cargo xtask build-ebpf")?;
        let program = programs.program_mut("look_on_early");
        let program: &mut Xdp = program.context("no such program")?.try_into()?;
        program.load()?;
        let port = lab.port_of(node);
        let attached = lab
            .fabric()
            .namespace()
            .inside(|| Ok(program.attach(&port, XdpMode::Driver)?))?;
        // For as long as the device.
        std::mem::forget(program.take_link(attached)?);
    }
    let fill_in = |place: &dyn Place| {
        let words = ["ethtool", "--features", "eth0", "tx", "off"];
        place.run(&words).map(drop)
    };
    let clients = [lab.client(BACKENDS)?, lab.client(OUTSIDE)?];
    let mut machines: Vec<&dyn Place> = clients.iter().map(|it| it as &dyn Place).collect();
    machines.extend(lab.nodes().iter().map(|it| it as &dyn Place));
    for machine in machines {
        fill_in(machine)?;
    }
    for client in &clients {
        client.namespace().set(&[CLIENT_PORTS])?;
    }
    for pod in lab.nodes().iter().flat_map(Node::pods) {
        fill_in(&pod)?;
        pod.namespace().set(&[CLIENT_PORTS])?;
    }
    Ok(())
}

fn pod_of(system: System) -> String {
    format!("pod-{system}")
}
