//! The two Services that traffic goes to, and who answers for them: `web` has endpoints on another machine, `local` one
//! on each node, which alone answers for that node.
//!
//! Each has several ports alike, under numbers that follow one another, and so have its endpoints: a run takes the next
//! one, so that none meets a connection of the one before, and none is measured at one place of a list of rules alone.
//! Behind the same port of an endpoint, connections of two ports of the Service would meet: one that comes in by
//! another is refused where the endpoint remembers its tuple with later timestamps (`tcp_timewait_state_process`).

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU16, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use netproxy_lab::{Client, ControlPlane, Lab, Place, Process, control_plane::Write, wait_until};
use serde_json::{Value, json};

use crate::{
    cluster::{NAMESPACE, services_path, slices_path},
    cpu,
};

/// How many ports each has, and endpoints `web`.
pub(crate) const DOORS: u16 = 10;

const WEB_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const LOCAL_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 11);
/// Behind those of the sample service.
const FIRST_ENDPOINT: u32 = u32::from_be_bytes([10, 63, 240, 0]);

/// What is answered there.
pub(crate) const GREETING: &[u8] = b"greeting";
/// How long nginx may take to listen, and one try to find out.
const LONGEST_START: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a sink takes to see that it is over.
const SINK_TURN: Duration = Duration::from_millis(100);

const FIRST_PORT: u16 = 80;
const FIRST_NODE_PORT: u16 = 30_080;
const FIRST_LOCAL_NODE_PORT: u16 = 30_180;
const FIRST_HTTP: u16 = 8081;
const DNS: u16 = 53;
const UDP: u16 = 5353;
pub(crate) const SINK: u16 = 5400;
/// Every port has its node port given: one that the API server takes by itself may be another's.
const DNS_NODE_PORT: u16 = 30_053;
const SINK_NODE_PORT: u16 = 30_054;
const BULK_NODE_PORT: u16 = 30_055;
/// As iperf3 has it.
const BULK: u16 = 5201;

/// A way to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the cluster IP of `web`.
    ClusterIp,
    /// By a node's port of `web`, from outside and to another machine.
    NodePortRemote,
    /// By a node's port of `local`, from outside and to a pod there.
    NodePortLocal,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A few bytes by HTTP; the port of this number.
    Http(u16),
    /// An echo by UDP, by the cluster IP.
    Udp,
    /// Bytes without end, by iperf3 and the cluster IP.
    Bulk,
    /// Datagrams of which only a greeting is answered, by a node's port.
    Sink,
}

impl What {
    /// HTTP, by the port after the one that was taken last.
    pub(crate) fn next_http() -> Self {
        static DOOR: AtomicU16 = AtomicU16::new(0);
        Self::Http(DOOR.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where it is had from `node`, which has a proxy.
pub(crate) fn frontend(way: Way, what: What, node: Ipv4Addr) -> SocketAddr {
    let (ip, port) = match (way, what) {
        (Way::ClusterIp, What::Http(door)) => (WEB_IP, FIRST_PORT + door % DOORS),
        (Way::NodePortRemote, What::Http(door)) => (node, FIRST_NODE_PORT + door % DOORS),
        (Way::NodePortLocal, What::Http(door)) => (node, FIRST_LOCAL_NODE_PORT + door % DOORS),
        (_, What::Udp) => (WEB_IP, DNS),
        (_, What::Bulk) => (WEB_IP, BULK),
        (_, What::Sink) => (node, SINK_NODE_PORT),
    };
    (ip, port).into()
}

/// Where it is had without any service; `pod` is the endpoint of `local`.
pub(crate) fn endpoint(way: Way, what: What, pod: Ipv4Addr) -> SocketAddr {
    let of_web = |number| endpoint_ip(number % DOORS);
    match (way, what) {
        (Way::NodePortLocal, What::Http(door)) => (pod, FIRST_HTTP + door % DOORS).into(),
        (_, What::Http(door)) => (of_web(door), FIRST_HTTP + door % DOORS).into(),
        (_, What::Udp) => (of_web(0), UDP).into(),
        (_, What::Bulk) => (of_web(0), BULK).into(),
        (_, What::Sink) => (of_web(0), SINK).into(),
    }
}

fn endpoint_ip(number: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_ENDPOINT + u32::from(number))
}

/// The writes that make both Services.
pub(crate) fn creation(lab: &Lab) -> impl Iterator<Item = Vec<Write>> {
    let ready = json!({"ready": true, "serving": true, "terminating": false});
    let of_web = (0..DOORS).map(|number| {
        json!({"addresses": [endpoint_ip(number)], "conditions": ready, "nodeName": "elsewhere"})
    });
    let pods = lab.nodes().iter().flat_map(|node| {
        let of_node = |pod: netproxy_lab::Pod| {
            json!({"addresses": [pod.ipv4()], "conditions": ready, "nodeName": node.name()})
        };
        node.pods().into_iter().map(of_node)
    });
    let mut web = doors(FIRST_NODE_PORT);
    web.push(json!({
        "name": "dns", "protocol": "UDP", "port": DNS, "targetPort": UDP, "nodePort": DNS_NODE_PORT,
    }));
    web.push(json!({
        "name": "bulk", "port": BULK, "targetPort": BULK, "nodePort": BULK_NODE_PORT,
    }));
    web.push(json!({
        "name": "sink", "protocol": "UDP", "port": SINK, "targetPort": SINK, "nodePort": SINK_NODE_PORT,
    }));
    let local = doors(FIRST_LOCAL_NODE_PORT);
    [
        objects("web", WEB_IP, "Cluster", &web, &of_web.collect::<Vec<_>>()),
        objects(
            "local",
            LOCAL_IP,
            "Local",
            &local,
            &pods.collect::<Vec<_>>(),
        ),
    ]
    .into_iter()
}

fn doors(first_node_port: u16) -> Vec<Value> {
    let door = |number| {
        json!({
            "name": format!("http-{number}"),
            "port": FIRST_PORT + number,
            "targetPort": FIRST_HTTP + number,
            "nodePort": first_node_port + number,
        })
    };
    (0..DOORS).map(door).collect()
}

fn objects(
    name: &str,
    ip: Ipv4Addr,
    policy: &str,
    ports: &[Value],
    endpoints: &[Value],
) -> Vec<Write> {
    let of_slice = |port: &Value| {
        let protocol = port.get("protocol").cloned().unwrap_or(json!("TCP"));
        json!({"name": port["name"], "protocol": protocol, "port": port["targetPort"]})
    };
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "type": "NodePort",
            "clusterIP": ip,
            "externalTrafficPolicy": policy,
            "ports": ports,
        },
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": name,
            },
        },
        "addressType": "IPv4",
        "ports": ports.iter().map(of_slice).collect::<Vec<_>>(),
        "endpoints": endpoints,
    });
    vec![
        Write::Create(services_path(), service),
        Write::Create(slices_path(), slice),
    ]
}

/// Starts who answers: nginx on the machine and in every pod, iperf3 and an echo on the machine. They end with the lab.
pub(crate) fn serve(lab: &Lab, control_plane: &ControlPlane<'_>, machine: &Client) -> Result<()> {
    let nginx = control_plane.program("nginx")?;
    serve_http(machine, &nginx, lab.directory())?;
    for pod in lab.nodes().iter().flat_map(netproxy_lab::Node::pods) {
        serve_http(&pod, &nginx, lab.directory())?;
    }
    cpu::spawn_at(machine, cpu::SERVER, &["iperf3", "--server"])?;
    await_http(machine, (endpoint_ip(0), FIRST_HTTP).into())?;
    for pod in lab.nodes().iter().flat_map(netproxy_lab::Node::pods) {
        await_http(&pod, (pod.ipv4(), FIRST_HTTP).into())?;
    }
    for number in 0..DOORS {
        echo(machine, (endpoint_ip(number), UDP).into())?;
    }
    Ok(())
}

fn await_http(place: &dyn Place, address: SocketAddr) -> Result<()> {
    wait_until("nginx listens", LONGEST_START, || {
        place
            .namespace()
            .inside(|| Ok(TcpStream::connect_timeout(&address, PATIENCE).is_ok()))
    })
}

/// Sockets at all endpoints of `web`, where greetings are answered for so long as `greeted` runs.
pub(crate) fn with_sinks<T>(machine: &Client, greeted: impl FnOnce() -> Result<T>) -> Result<T> {
    let bind = |number| {
        let address = SocketAddr::from((endpoint_ip(number), SINK));
        UdpSocket::bind(address).with_context(|| format!("listen on {address}"))
    };
    let sinks: Vec<_> = machine
        .namespace()
        .inside(|| (0..DOORS).map(bind).collect::<Result<_>>())?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for sink in &sinks {
            sink.set_read_timeout(Some(SINK_TURN))?;
            let is_over = &is_over;
            scope.spawn(move || {
                let mut buffer = [0; 64];
                while !is_over.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = sink.recv_from(&mut buffer)
                        && buffer[..length] == *GREETING
                    {
                        // Who has gone is not the server's concern.
                        let _ = sink.send_to(GREETING, from);
                    }
                }
            });
        }
        let outcome = greeted();
        is_over.store(true, Ordering::Relaxed);
        outcome
    })
}

fn serve_http(place: &dyn Place, nginx: &Path, directory: &Path) -> Result<Process> {
    let folder = directory.join(format!("nginx-{}", place.name()));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let configuration = folder.join("nginx.conf");
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|it| format!("{it}_temp_path {}/{it};", folder.display()))
        .join(" ");
    let listen = (0..DOORS).map(|door| format!("listen {} backlog=8192;", FIRST_HTTP + door));
    let listen = listen.collect::<Vec<_>>().join(" ");
    let text = format!(
        "daemon off; master_process off; pid {pid}; error_log stderr crit;\n\
         events {{ worker_connections 16384; }}\n\
         http {{ access_log off; {temporary} keepalive_requests 1000000000;\n\
         server {{ {listen} location / {{ return 200 \"ok\\n\"; }} }} }}\n",
        pid = folder.join("pid").display(),
    );
    std::fs::write(&configuration, text)
        .with_context(|| format!("{} cannot be written", configuration.display()))?;
    let (nginx, configuration) = (nginx.to_string_lossy(), configuration.to_string_lossy());
    cpu::spawn_at(
        place,
        cpu::SERVER,
        &[&nginx, "-e", "stderr", "-c", &configuration],
    )
}

/// Sends back what comes to one address, for as long as this process lives.
fn echo(machine: &Client, address: SocketAddr) -> Result<()> {
    let socket = machine
        .namespace()
        .inside(|| UdpSocket::bind(address).with_context(|| format!("listen on {address}")))?;
    thread::spawn(move || {
        // Where it cannot be bound to a CPU, it works as well.
        let _ = cpu::bind_thread(cpu::SERVER);
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // Who has gone is not the server's concern.
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    Ok(())
}
