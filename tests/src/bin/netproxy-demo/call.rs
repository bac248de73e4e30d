//! The calls: who asks which frontend, who may answer, and whom the endpoint must see.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use netproxy_lab::report::Attempt;
use netproxy_lab::{Answers, Place, Traffic as _, url};

use crate::progress::step;
use crate::stage::{NAMES_CLUSTER_IPS, NAMES_NODE_PORT, Stage, WEB_CLUSTER_IPS, WEB_NODE_PORT};

/// Requests per call: that one of three endpoints gets none of them by chance happens once in
/// ten thousand million runs.
const REQUESTS: usize = 60;

const WEB: &[&str] = &["web-1", "web-2", "web-3"];
const NAMES: &[&str] = &["web-1", "web-3"];

/// What came of one call.
#[derive(Debug)]
pub(crate) struct CallResult {
    pub(crate) caller: String,
    pub(crate) frontend: String,
    /// How often each endpoint answered.
    pub(crate) endpoints: BTreeMap<String, usize>,
    /// As whom each endpoint saw the caller: its name for the address -> who saw it.
    pub(crate) seen_as: BTreeMap<String, BTreeSet<String>>,
    /// What is not as it must be.
    pub(crate) complaint: Option<String>,
}

/// Who calls, and as whom endpoints must see it.
struct Caller {
    name: &'static str,
    /// The endpoint (by its node) -> the name of the address it must see.
    must_be_seen_as: fn(&str) -> &'static str,
}

const SHELL: Caller = Caller {
    name: "shell",
    must_be_seen_as: |_| "shell",
};
/// A pod that answers for the service itself: it must not see itself as the client, or the answer
/// would never pass through the node.
const WEB_1: Caller = Caller {
    name: "web-1",
    must_be_seen_as: |endpoint| {
        if endpoint == "web-1" {
            "node alpha"
        } else {
            "web-1"
        }
    },
};
const HOST: Caller = Caller {
    name: "alpha",
    must_be_seen_as: |_| "node alpha",
};
/// Endpoints of the node that is asked see the client itself; others see the node.
const OUTSIDE_AT_ALPHA: Caller = Caller {
    name: "outside",
    must_be_seen_as: |endpoint| {
        if endpoint == "web-3" {
            "node alpha"
        } else {
            "outside"
        }
    },
};
const OUTSIDE_AT_BETA: Caller = Caller {
    name: "outside",
    must_be_seen_as: |endpoint| {
        if endpoint == "web-3" {
            "outside"
        } else {
            "node beta"
        }
    },
};

/// Makes every call, over both families.
pub(crate) fn make_all(stage: &Stage<'_>) -> Result<Vec<CallResult>> {
    let mut results = Vec::new();
    let lab = stage.lab();
    let (alpha, beta) = (
        lab.node("alpha")?.addresses().both(),
        lab.node("beta")?.addresses().both(),
    );
    for family in 0..2 {
        let web: IpAddr = WEB_CLUSTER_IPS[family].parse()?;
        let names: IpAddr = NAMES_CLUSTER_IPS[family].parse()?;
        let ip = if family == 0 { "IPv4" } else { "IPv6" };
        results.extend(step(
            &format!("Sending HTTP and UDP requests over {ip}"),
            || {
                let mut results = Vec::new();
                for caller in [SHELL, WEB_1, HOST] {
                    results.push(http(stage, &caller, "ClusterIP", web, 80)?);
                    results.push(udp(stage, &caller, "ClusterIP", names, 53)?);
                }
                for (caller, node, what) in [
                    (SHELL, alpha, "NodePort of alpha"),
                    (OUTSIDE_AT_ALPHA, alpha, "NodePort of alpha"),
                    (OUTSIDE_AT_BETA, beta, "NodePort of beta"),
                ] {
                    results.push(http(stage, &caller, what, node[family], WEB_NODE_PORT)?);
                    results.push(udp(stage, &caller, what, node[family], NAMES_NODE_PORT)?);
                }
                Ok(results)
            },
        )?);
    }
    Ok(results)
}

fn http(
    stage: &Stage<'_>,
    caller: &Caller,
    what: &str,
    address: IpAddr,
    port: u16,
) -> Result<CallResult> {
    let frontend = url(address, port);
    let place = stage.lab().place(caller.name)?;
    let answers = place.get(&frontend, REQUESTS)?;
    Ok(judge(
        stage,
        caller,
        place.as_ref(),
        &format!("{what} {frontend}"),
        WEB,
        &answers,
    ))
}

fn udp(
    stage: &Stage<'_>,
    caller: &Caller,
    what: &str,
    address: IpAddr,
    port: u16,
) -> Result<CallResult> {
    let frontend = SocketAddr::new(address, port);
    let place = stage.lab().place(caller.name)?;
    let answers = place.ask(frontend, REQUESTS)?;
    Ok(judge(
        stage,
        caller,
        place.as_ref(),
        &format!("{what} udp {frontend}"),
        NAMES,
        &answers,
    ))
}

fn judge(
    stage: &Stage<'_>,
    caller: &Caller,
    place: &dyn Place,
    frontend: &str,
    endpoints: &[&str],
    answers: &Answers,
) -> CallResult {
    let owners = stage.owners();
    let mut seen_as: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut complaints = Vec::new();
    for attempt in &answers.attempts {
        match attempt {
            Attempt::Answered { answer, .. } => {
                let client = answer.client.ip().to_canonical();
                let owner = owners.get(&client).map_or("nobody", String::as_str);
                let wanted = (caller.must_be_seen_as)(&answer.endpoint);
                if owner != wanted {
                    complaints.push(format!(
                        "{} saw {client} ({owner}), not {wanted}",
                        answer.endpoint
                    ));
                }
                seen_as
                    .entry(format!("{client} ({owner})"))
                    .or_default()
                    .insert(answer.endpoint.clone());
            }
            Attempt::Failed { error, .. } => complaints.push(error.clone()),
        }
    }
    let answered: BTreeSet<&str> = answers.endpoints();
    if answered != endpoints.iter().copied().collect() {
        complaints.push(format!("{answered:?} answered, not {endpoints:?}"));
    }
    complaints.sort();
    complaints.dedup();
    let kind = if caller.name == "alpha" {
        "host "
    } else if caller.name == "outside" {
        ""
    } else {
        "pod "
    };
    CallResult {
        caller: format!("{kind}{}", place.name()),
        frontend: frontend.to_owned(),
        endpoints: answers.by_endpoint.clone(),
        seen_as,
        complaint: (!complaints.is_empty()).then(|| complaints.join("; ")),
    }
}
