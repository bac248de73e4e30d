//! The control plane itself, without netproxy: what the other tests take for granted.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netproxy_lab::{
    Cni, ControlPlane, Lab, Place,
    control_plane::{ENDPOINT_SLICES, Replica},
    wait_until,
};

const LONGEST: Duration = Duration::from_secs(20);

#[test]
fn the_real_controller_makes_slices_of_registered_pods() -> Result<()> {
    Lab::builder("cp-slices")
        .node("a", Cni::Bridge)
        .pod("web")
        .run(|lab| {
            let began = Instant::now();
            let cluster = ControlPlane::start(lab)?;
            eprintln!("up after {:?}", began.elapsed());
            cluster.start_controller_manager(&[ENDPOINT_SLICES])?;
            eprintln!("controllers up after {:?}", began.elapsed());
            cluster.register_nodes()?;
            let pod = lab.pod("web")?;
            cluster.register_pods(&[Replica::ready(&pod, "web")])?;
            eprintln!("registered after {:?}", began.elapsed());
            cluster.apply(
                "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: \
                 {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}",
            )?;
            wait_until("the slice has the pod", LONGEST, || {
                let slices = cluster.kubectl(&["get", "endpointslices", "-o", "yaml"])?;
                Ok(slices.contains(&pod.ipv4().to_string()))
            })?;
            eprintln!("slices after {:?}", began.elapsed());
            let node = cluster.kubectl(&["get", "node", "a", "-o", "yaml"])?;
            ensure!(node.contains(&lab.node("a")?.ipv6().to_string()), "{node}");
            let t = Instant::now();
            cluster.stop_apiserver()?;
            eprintln!("stopped in {:?}", t.elapsed());
            cluster.start_apiserver()?;
            eprintln!("restarted in {:?}", t.elapsed());
            eprintln!(
                "{}",
                cluster.kubectl(&[
                    "get",
                    "endpointslices,endpoints,pods,nodes,svc",
                    "-o",
                    "wide"
                ])?
            );
            Ok(())
        })
}
