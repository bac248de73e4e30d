//! What places are made of.

use std::fs;

use anyhow::{Result, ensure};
use netproxy_lab::{Cni, Lab, NodeSpec, Place, RpFilter, Serve, Traffic, url};

#[test]
fn pods_have_the_mtu_of_their_shape() -> Result<()> {
    Lab::builder("mtu")
        .node("a", Cni::Bridge)
        .pod("bridged")
        .node("b", Cni::PointToPoint)
        .pod("routed")
        .node("c", Cni::Vxlan)
        .pod("tunnelled")
        .run(|lab| {
            for (pod, mtu) in [
                ("bridged", "1500"),
                ("routed", "1500"),
                ("tunnelled", "1450"),
            ] {
                let shown = lab.pod(pod)?.run(&["ip", "link", "show", "eth0"])?;
                ensure!(shown.contains(&format!(" mtu {mtu} ")), "{pod}: {shown}");
            }
            Ok(())
        })
}

#[test]
fn the_host_end_of_a_pods_pair_shows_the_pods_namespace() -> Result<()> {
    for cni in [Cni::Bridge, Cni::PointToPoint, Cni::Vxlan] {
        Lab::builder("netnsid")
            .node("a", cni)
            .pod("a-pod-with-a-long-name")
            .run(|lab| {
                let (node, pod) = (lab.node("a")?, lab.pod("a-pod-with-a-long-name")?);
                let shown = node.run(&["ip", "-d", "link", "show", pod.host_device()])?;
                let wanted = format!("link-netns {}", pod.namespace().name());
                ensure!(shown.contains(&wanted), "{cni:?}: {shown}");
                Ok(())
            })?;
    }
    Ok(())
}

#[test]
fn programs_are_in_the_cgroup_and_the_namespace_of_their_place() -> Result<()> {
    Lab::builder("inside")
        .node("a", Cni::Bridge)
        .pod("web")
        .run(|lab| {
            let (node, pod) = (lab.node("a")?, lab.pod("web")?);
            ensure!(
                pod.cgroup() != node.cgroup() && pod.cgroup().starts_with(node.cgroup()),
                "{:?}",
                pod.cgroup()
            );
            for place in [&node as &dyn Place, &pod] {
                let server = place.serve(&Serve::new().http(8080))?;
                let pids = fs::read_to_string(place.cgroup().join("cgroup.procs"))?;
                ensure!(
                    pids.lines().any(|pid| pid == server.pid().to_string()),
                    "{pids}"
                );
                let shown = place.run(&["ip", "netns", "identify", &server.pid().to_string()])?;
                ensure!(shown.trim() == place.namespace().name(), "{shown}");
            }
            Ok(())
        })
}

#[test]
fn every_node_has_a_bpffs_of_its_own() -> Result<()> {
    Lab::builder("bpffs")
        .node("a", Cni::Bridge)
        .node("b", Cni::Bridge)
        .run(|lab| {
            let (a, b) = (lab.node("a")?, lab.node("b")?);
            fs::create_dir(a.bpffs().join("netproxy"))?;
            ensure!(!b.bpffs().join("netproxy").exists());
            // Programs of the node see it where the owner does.
            let kind = a.run(&["stat", "-f", "-c", "%T", &a.bpffs().to_string_lossy()])?;
            ensure!(kind.trim() == "bpf_fs", "{kind}");
            Ok(())
        })
}

#[test]
fn nodes_check_sources_as_told() -> Result<()> {
    Lab::builder("rp-filter")
        .node("strict", Cni::Bridge)
        .node(
            "loose",
            NodeSpec::new(Cni::Bridge).rp_filter(RpFilter::Loose),
        )
        .node("off", NodeSpec::new(Cni::Bridge).rp_filter(RpFilter::Off))
        .run(|lab| {
            for (node, wanted) in [("strict", "1"), ("loose", "2"), ("off", "0")] {
                for device in ["all", "eth0", "cni0"] {
                    let file = format!("/proc/sys/net/ipv4/conf/{device}/rp_filter");
                    let value = lab.node(node)?.run(&["cat", &file])?;
                    ensure!(value.trim() == wanted, "{node}, {device}: {value}");
                }
            }
            Ok(())
        })
}

#[test]
fn a_pod_that_comes_late_is_like_the_others() -> Result<()> {
    for cni in [Cni::Bridge, Cni::PointToPoint, Cni::Vxlan] {
        Lab::builder("late")
            .node("a", cni)
            .pod("early")
            .node("b", cni)
            .pod("far")
            .run(|lab| {
                let late = lab.node("a")?.add_pod("late")?;
                late.serve(&Serve::new().http(8080))?;
                for from in ["early", "far"] {
                    for address in lab.pod("late")?.addresses().both() {
                        lab.pod(from)?
                            .get(&url(address, 8080), 1)?
                            .only_from("late")?;
                    }
                }
                let again = lab.node("b")?.add_pod("late");
                ensure!(again.is_err(), "a name was given twice");
                Ok(())
            })?;
    }
    Ok(())
}

#[test]
fn a_client_can_be_given_a_way_through_a_node() -> Result<()> {
    Lab::builder("route-via")
        .node("a", Cni::Bridge)
        .client("outside")
        .run(|lab| {
            let (node, client) = (lab.node("a")?, lab.client("outside")?);
            for (service, net) in [
                ("10.96.0.7", "10.96.0.0/12"),
                ("fd10:96::7", "fd10:96::/112"),
            ] {
                client.route_via(net.parse()?, &node)?;
                node.ip(&format!("addr add {service} dev lo"))?;
                node.serve(&Serve::new().http(if service.contains(':') { 8086 } else { 8084 }))?;
            }
            client.get("http://10.96.0.7:8084/", 1)?.only_from("a")?;
            client.get("http://[fd10:96::7]:8086/", 1)?.only_from("a")?;
            Ok(())
        })
}

#[test]
fn labs_live_beside_each_other() -> Result<()> {
    let labs: Vec<_> = std::thread::scope(|scope| {
        let up = || {
            Lab::builder("beside")
                .node("a", Cni::Bridge)
                .pod("web")
                .up()
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(up)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Result<_>>()
    })?;
    for lab in &labs {
        lab.pod("web")?
            .serve(&Serve::new().name(&lab.id()).http(8080))?;
    }
    for lab in &labs {
        let web = url(lab.pod("web")?.ipv4(), 8080);
        lab.node("a")?.get(&web, 1)?.only_from(&lab.id())?;
    }
    Ok(())
}

#[test]
fn a_lab_adds_no_device_to_the_machines_own_namespace() -> Result<()> {
    let devices = || -> Result<String> { Ok(fs::read_to_string("/proc/net/dev")?) };
    let names = |text: String| -> Vec<String> {
        text.lines()
            .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
            .collect()
    };
    let before = names(devices()?);
    Lab::builder("devices")
        .node("a", Cni::Vxlan)
        .pod("web")
        .client("outside")
        .run(|_| {
            let now = names(devices()?);
            ensure!(now == before, "{before:?} became {now:?}");
            Ok(())
        })
}

#[test]
fn an_ip_command_that_fails_is_named() -> Result<()> {
    Lab::builder("complaint").node("a", Cni::Bridge).run(|lab| {
        let error = lab
            .node("a")?
            .ip("link set eth0 up\nlink set nothing up")
            .unwrap_err();
        let text = format!("{error:#}");
        ensure!(text.contains("`ip link set nothing up` failed"), "{text}");
        ensure!(text.contains("nothing\""), "{text}");
        Ok(())
    })
}
