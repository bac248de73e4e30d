//! A cluster that serves, and what goes wrong by its users and its agents' ends.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Result, ensure};
use jiff::{Timestamp, ToSpan};
use netproxy_lab::{
    Get, Load, Place, Traffic,
    control_plane::{Prometheus, Replica},
    report::LoadReport,
    traffic::Ongoing,
    url, wait_for, wait_until,
};
use serde_json::json;

use super::{
    await_firing,
    dashboard::{Question, ensure_exported, is_answered, questions},
    firing, names, observe, reachable, service,
};
use crate::cluster::{Cluster, LONGEST, WEB_NODE_PORT, without_agents};

/// Passes over all services are a minute apart, and a rate takes two.
const LONGEST_ANSWER: Duration = Duration::from_mins(3);
/// What a node of the lab keeps from the agent: all but 64 of the ports that it would take.
const RESERVED: &str = "net.ipv4.ip_local_reserved_ports=10240-29999,61000-65471";
/// So many connections from outside at once.
const CLIENTS: usize = 100;

/// A Service without endpoints.
const EMPTY: &str = "10.96.0.81";
/// One whose endpoint is node `a`.
const ITSELF: &str = "10.96.0.82";
/// One whose endpoints come and go.
const CHANGING: &str = "10.96.0.83";
/// One whose changes come late.
const LATE: &str = "10.96.0.84";

#[test]
fn every_question_of_the_dashboard_is_answered_and_alerts_fire() -> Result<()> {
    without_agents("observed", |cluster| {
        cluster.node("a")?.run(&["sysctl", "-w", RESERVED])?;
        cluster.start_agents_with(reachable)?;
        cluster.serve_web(&["web-3"])?;
        let prometheus = observe(cluster)?;
        stays_silent(&prometheus)?;

        let troubles = Troubles::begin(cluster)?;
        let mut open = questions()?;
        let unanswered = || {
            troubles.go_on()?;
            let mut still = Vec::new();
            for question in &open {
                if !is_answered(&prometheus, question)? {
                    still.push(question.clone());
                }
            }
            open = still;
            let tell = |it: &Question| format!("{}: {}", it.by, it.expression);
            Ok(open.iter().map(tell).collect::<Vec<_>>())
        };
        wait_for(
            "no question is open",
            LONGEST_ANSWER,
            unanswered,
            Vec::is_empty,
        )?;
        ensure_exported(&prometheus)?;
        await_firing(
            &prometheus,
            &[
                ("NetproxySourcePortsExhausted", "instance", "a"),
                ("NetproxySourcePortsNearlyTaken", "instance", "a"),
                ("NetproxyPacketsDropped", "event", "host_to_itself"),
                ("NetproxyServiceUnanswered", "service_name", "empty"),
                ("NetproxyProgrammingSlow", "instance", "a"),
            ],
        )?;
        troubles.end()?;

        end_one_after_the_other(cluster, &prometheus)
    })
}

/// Nothing fires while nothing is wrong, nor would soon.
fn stays_silent(prometheus: &Prometheus<'_>) -> Result<()> {
    wait_until("ten scrapes of both", LONGEST, || {
        let both = prometheus.query("sum(sum_over_time(up[5m])) >= 20")?;
        Ok(!both.is_empty())
    })?;
    let alerts = firing(prometheus)?;
    ensure!(alerts.is_empty(), "{alerts:#?}");
    Ok(())
}

/// Agent `b` starts again and again, and ends; then that of `a` ends, too.
fn end_one_after_the_other(cluster: &Cluster<'_>, prometheus: &Prometheus<'_>) -> Result<()> {
    let [a, b] = cluster.agents() else {
        anyhow::bail!("two agents");
    };
    for times in 1..=3 {
        b.restart()?;
        let changes =
            format!("changes(process_start_time_seconds{{instance=\"b\"}}[30m]) >= {times}");
        wait_until("the start is seen", LONGEST, || {
            Ok(!prometheus.query(&changes)?.is_empty())
        })?;
    }
    await_firing(prometheus, &[("NetproxyAgentRestarts", "instance", "b")])?;
    b.kill9()?;
    await_firing(prometheus, &[("NetproxyAgentDown", "instance", "b")])?;
    let alerts = firing(prometheus)?;
    ensure!(!names(&alerts).contains("NetproxyAbsent"), "{alerts:#?}");
    a.kill9()?;
    await_firing(prometheus, &[("NetproxyAbsent", "", "")])
}

/// What users of the cluster do, so that everything that is measured has something to tell.
struct Troubles<'a, 'lab> {
    cluster: &'a Cluster<'lab>,
    crowd: Ongoing<LoadReport>,
    changes: AtomicU16,
}

impl<'a, 'lab> Troubles<'a, 'lab> {
    fn begin(cluster: &'a Cluster<'lab>) -> Result<Self> {
        let node = cluster.node("a")?;
        let of = |app: &str| json!({"selector": {"app": app}});
        cluster.apply(&service("empty", EMPTY, &of("empty")))?;
        cluster.apply(&service("changing", CHANGING, &of("changing")))?;
        cluster.apply(&service("itself", ITSELF, &json!({})))?;
        cluster.apply(&slice("itself", node.ipv4().into(), 8080, Timestamp::now()))?;
        cluster.apply(&service("late", LATE, &json!({})))?;
        let crowd = Load::new(&url(node.ipv4(), WEB_NODE_PORT)).keep_alive();
        let crowd = crowd
            .concurrency(CLIENTS)
            .interval(Duration::from_millis(500));
        let crowd = crowd.timeout(Duration::from_secs(2));
        Ok(Self {
            cluster,
            crowd: cluster.lab.client("outside")?.load(&crowd)?,
            changes: AtomicU16::new(0),
        })
    }

    /// Endpoints change: at once, and long after what led to it. Services are asked that do not answer.
    fn go_on(&self) -> Result<()> {
        let change = self.changes.fetch_add(1, Ordering::Relaxed);
        let pod = self.cluster.lab.pod("web-2")?;
        let replica = Replica {
            is_ready: change.is_multiple_of(2),
            ..Replica::ready(&pod, "changing")
        };
        self.cluster.control_plane.register_pods(&[replica])?;
        let then = Timestamp::now().checked_sub(40.seconds())?;
        let late = slice("late", pod.ipv4().into(), 8000 + change, then);
        self.cluster.apply(&late)?;
        let get = |address: &str| {
            let url = url(address.parse::<IpAddr>()?, 80);
            anyhow::Ok(Get::new(&url).count(10).timeout(Duration::from_millis(50)))
        };
        for answers in [
            self.cluster.shell()?.get_with(&get(EMPTY)?)?,
            self.cluster.node("a")?.get_with(&get(ITSELF)?)?,
        ] {
            ensure!(answers.answered() == 0, "{answers:?}");
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        let crowd = self.crowd.stop()?;
        ensure!(crowd.answered > 0 && crowd.failed > 0, "{crowd:?}");
        Ok(())
    }
}

/// A slice with one endpoint of a Service without selector.
fn slice(service: &str, address: IpAddr, port: u16, triggered: Timestamp) -> serde_json::Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": service,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": triggered.to_string()},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "nodeName": "a"}],
        "ports": [{"name": "http", "port": port}],
    })
}
