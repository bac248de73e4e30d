//! The numbers at `/metrics` are those of the traffic and the objects that made them.

use anyhow::{Context, Result, ensure};
use aya::programs::TcAttachType;
use jiff::Timestamp;
use netproxy_lab::{
    AgentOptions, Cni, EndpointObject, Lab, Metrics, Node, Place, Serve, ServiceObject, Traffic,
    TrafficPolicy,
    objects::{list, replace},
    wait_for,
};
use serde::Deserialize;

use crate::{
    cluster::{Cluster, LONGEST},
    foreign::{Foreign, Order},
    shop::{Offer, is},
};

const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

fn event(page: &Metrics, event: &str, is_drop: bool) -> Result<f64> {
    page.value(&format!(
        "netproxy_events_total{{event=\"{event}\",is_drop=\"{is_drop}\"}}"
    ))
}

/// Waits until the page of `node` has this value, and answers with the page.
fn await_value(node: &Node, series: &str, wanted: f64) -> Result<Metrics> {
    let what = format!("{}: {series} is {wanted}", node.name());
    let is_so = |page: &Metrics| {
        let found = page.find(series);
        found.is_some_and(|found| (found - wanted).abs() < f64::EPSILON)
    };
    wait_for(&what, LONGEST, || Metrics::of(node), is_so)
}

fn of_service(metric: &str, service: &str, more: &str) -> String {
    format!(
        "netproxy_service_{metric}{{service_namespace=\"shop\",service_name=\"{service}\"{more}}}"
    )
}

/// Node `a` with the pods `web`, which serves, and `shell`; and the Services `web` and, without
/// endpoints, `empty`.
fn cluster(name: &str, arguments: &[&str]) -> Result<(Cluster, Offer, Offer)> {
    let lab = Lab::builder(name)
        .node("a", Cni::PointToPoint)
        .pod("web")
        .pod("shell");
    let cluster = Cluster::up_with(lab, |options| {
        arguments.iter().fold(options, AgentOptions::argument)
    })?;
    let web = cluster.lab.pod("web")?;
    web.serve(&Serve::new().http(8080).udp(5353))?;
    let (served, empty) = (
        Offer::new("web", 1)?.endpoint(&web),
        Offer::new("empty", 2)?,
    );
    cluster.hold(|| {
        cluster.put(&empty.service)?;
        cluster.put(&served.service)
    })?;
    Ok((cluster, served, empty))
}

/// One line of `netproxy maps -o json`.
#[derive(Deserialize)]
struct MapRow {
    map: String,
    capacity: u32,
}

#[test]
fn what_traffic_did_stands_on_the_page() -> Result<()> {
    let (cluster, web, empty) = cluster("metrics-traffic", &[])?;
    cluster.hold(|| {
        let (node, shell) = (cluster.lab.node("a")?, cluster.lab.pod("shell")?);
        let before = Metrics::of(&node)?;

        let [served, _] = web.at_cluster_ips();
        shell.get(&served.url(), 5)?.all_answered()?;
        let [refused, _] = empty.at_cluster_ips();
        let answers = shell.get(&refused.url(), 3)?;
        is("refused", &answers.errors.len(), &3)?;

        // Counters are read at once; what is told by service comes with the next pass.
        let after = Metrics::of(&node)?;
        let new = |name, is_drop| {
            anyhow::Ok(event(&after, name, is_drop)? - event(&before, name, is_drop)?)
        };
        is("new flows", &new("new_flow", false)?, &5.0)?;
        is(
            "refused for want of endpoints",
            &new("no_endpoint", true)?,
            &3.0,
        )?;
        let drops = of_service("drops_total", "empty", ",reason=\"no_endpoint\"");
        let page = await_value(&node, &drops, 3.0)?;
        await_value(&node, &of_service("flows", "web", ""), 5.0)?;
        let other = "netproxy_service_flows{service_namespace=\"\",service_name=\"other\"}";
        is("flows of others", &page.value(other)?, &0.0)?;
        let begun = of_service("new_flows_total", "web", ",by=\"packet\"");
        let page = await_value(&node, &begun, 5.0)?;
        for direction in ["to_endpoints", "to_clients"] {
            let labels = format!(",direction=\"{direction}\"");
            let carried = |metric| page.value(&of_service(metric, "web", &labels));
            let (packets, bytes) = (carried("packets_total")?, carried("bytes_total")?);
            // Each connection is opened, used once and closed; nothing is larger than a segment.
            ensure!(
                (15.0..=100.0).contains(&packets) && (40.0..=1500.0).contains(&(bytes / packets)),
                "{direction}: {packets} packets, {bytes} bytes"
            );
        }

        for row in node.netproxy_json::<Vec<MapRow>>(&["maps", "-o", "json"])? {
            let capacity = page.value(&format!("netproxy_map_capacity{{map=\"{}\"}}", row.map))?;
            is(&row.map, &capacity, &f64::from(row.capacity))?;
        }
        // Two ports of two services, each in both families.
        let services = page.value("netproxy_map_entries{map=\"SERVICES\"}")?;
        is("service ports", &services, &8.0)?;

        // Who is gone is told of no longer.
        cluster.objects.remove(&empty.service)?;
        let is_gone = |page: &Metrics| page.find(&drops).is_none();
        wait_for(
            "no drops of `empty`",
            LONGEST,
            || Metrics::of(&node),
            is_gone,
        )
        .map(drop)
    })
}

#[test]
fn devices_and_programs_stand_on_the_page() -> Result<()> {
    let (cluster, ..) = cluster("metrics-devices", &[])?;
    cluster.hold(|| {
        let node = cluster.lab.node("a")?;
        let page = Metrics::of(&node)?;

        let by = |found: &str| format!("by=\"{found}\",state=\"attached\"");
        let of = |by: &str| page.find(&format!("netproxy_devices{{kind=\"pod\",{by}}}"));
        let pods = of(&by("tcx")).or_else(|| of(&by("clsact")));
        is("devices of pods", &pods, &Some(2.0))?;
        let attached: Vec<_> = page.starting_with("netproxy_device_attached{").collect();
        ensure!(
            attached.len() >= 3 && attached.iter().all(|(_, value)| *value > 0.5),
            "{attached:?}"
        );
        for program in ["tc_ingress", "tc_egress"] {
            let of = |metric| format!("netproxy_program_{metric}{{program=\"{program}\"}}");
            let walked = page.value(&of("verified_instructions"))?;
            ensure!((1e3..1e6).contains(&walked), "{program}: {walked}");
            ensure!(page.value(&of("load_seconds"))? > 0.0, "{program}");
        }
        Ok(())
    })
}

/// The programs that the kernel takes at one hook by tcx (`bpf_mprog_max`).
const PROGRAMS_MAX: usize = 63;

#[test]
fn a_device_without_room_for_the_programs_stands_on_the_page_until_there_is_some() -> Result<()> {
    let (cluster, ..) = cluster("metrics-crowded", &[])?;
    cluster.hold(|| {
        let (node, agent) = (cluster.lab.node("a")?, cluster.agent("a")?);
        let page = Metrics::of(&node)?;
        let series = page.starting_with("netproxy_device_attached{");
        let is_pod = |series: &&str| series.contains("kind=\"pod\"");
        let series = series.map(|(series, _)| series).find(is_pod);
        let series = series.context("no device of a pod")?;
        let device = series.split('"').nth(1).context("no device")?;
        agent.stop()?;
        node.netproxy(&["cleanup"])?;
        // A hook takes a program once.
        let others = (0..PROGRAMS_MAX).map(|_| {
            let mut other = Foreign::load()?;
            let hook = TcAttachType::Ingress;
            other.attach("look_on", &node, device, hook, Order::First)?;
            anyhow::Ok(other)
        });
        let others: Vec<_> = others.collect::<Result<_>>()?;

        agent.restart()?;

        await_value(&node, series, 0.0)?;
        let failed = "netproxy_devices{kind=\"pod\",by=\"tcx\",state=\"failed\"}";
        await_value(&node, failed, 1.0)?;
        drop(others);
        // With the next change of any device it is tried again.
        node.ip("link add nobody type veth peer name nobodys")?;
        await_value(&node, series, 1.0).map(drop)
    })
}

#[test]
fn changes_and_how_long_they_took_stand_on_the_page_by_kube_proxys_names() -> Result<()> {
    let (cluster, web, _) = cluster("metrics-syncs", &[])?;
    cluster.hold(|| {
        let node = cluster.lab.node("a")?;
        let sync = |name: &str| format!("kubeproxy_sync_proxy_rules_{name}");
        let before = Metrics::of(&node)?;
        let syncs = sync("duration_seconds_count{ip_family=\"IPv4\"}");
        let latencies = "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"}";
        is("latencies", &before.find(latencies), &None)?;

        // As the EndpointSlice controller would write it.
        let more = web
            .service
            .endpoint(EndpointObject::outside(&cluster.lab.pod("shell")?));
        put_triggered(&cluster, &more, Timestamp::now())?;
        cluster.await_served(&more)?;

        let after = await_value(&node, latencies, 1.0)?;
        let seconds = "kubeproxy_network_programming_duration_seconds_sum{ip_family=\"IPv4\"}";
        ensure!((0.0..60.0).contains(&after.value(seconds)?), "{after:?}");
        let new = |name: &str| anyhow::Ok(after.value(name)? - before.value(name)?);
        ensure!(new(&syncs)? >= 1.0, "{after:?}");
        // The slices of both families, at once or one after the other.
        let endpoints = new(&sync("endpoint_changes_total"))?;
        ensure!((1.0..=2.0).contains(&endpoints), "{endpoints}");
        is("services", &new(&sync("service_changes_total"))?, &0.0)?;
        let last = new(&sync("last_timestamp_seconds{ip_family=\"IPv6\"}"))?;
        ensure!(last > 0.0, "{last}");

        // Its only endpoints are not on the node.
        let dropped =
            sync("no_local_endpoints_total{traffic_policy=\"internal\",ip_family=\"IPv4\"}");
        is("dropped", &after.value(&dropped)?, &0.0)?;
        let elsewhere = Offer::new("elsewhere", 3)?.service;
        let elsewhere = elsewhere
            .internal_policy(TrafficPolicy::Local)
            .endpoint(EndpointObject::outside(&cluster.lab.pod("web")?));
        cluster.put(&elsewhere)?;
        await_value(&node, &dropped, 2.0).map(drop)
    })
}

/// Writes the Service as [`Cluster::put`] does, with slices that tell when the change happened that
/// led to them.
fn put_triggered(cluster: &Cluster, service: &ServiceObject, at: Timestamp) -> Result<()> {
    let mut objects = service.objects();
    for object in &mut objects {
        if object["kind"] == "EndpointSlice" {
            object["metadata"]["annotations"][TRIGGER] = at.to_string().into();
        }
    }
    let file = cluster.objects.file(service);
    replace(&file, &list(&objects).to_string())
}

#[test]
fn no_more_services_have_series_of_their_own_than_the_operator_wants() -> Result<()> {
    let (cluster, web, _) = cluster("metrics-limit", &["--metrics-objects-max", "0"])?;
    cluster.hold(|| {
        let (node, shell) = (cluster.lab.node("a")?, cluster.lab.pod("shell")?);
        let [served, _] = web.at_cluster_ips();

        shell.get(&served.url(), 2)?.all_answered()?;

        let other = "netproxy_service_flows{service_namespace=\"\",service_name=\"other\"}";
        let page = await_value(&node, other, 2.0)?;
        let devices = page.value("netproxy_device_attached{device=\"other\",kind=\"\"}")?;
        is("all devices", &devices, &1.0)?;
        let mut series = page.starting_with("netproxy_service_");
        ensure!(!series.any(|(it, _)| it.contains("shop")), "{page:?}");
        Ok(())
    })
}
