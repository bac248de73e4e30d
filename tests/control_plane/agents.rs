//! Agents that come, go, and lack something.

use std::time::Duration;

use anyhow::{Result, ensure};
use netproxy_lab::{Agent, wait_for, wait_until};

use crate::{
    cluster::{Cluster, WEB_PORT, await_endpoints, web, with_agents, without_agents},
    traffic,
};

/// How long an agent may take to load its programs, before it looks for the API server.
const LONGEST_START: Duration = Duration::from_secs(30);

fn await_log(agent: &Agent, what: &str, words: &str) -> Result<()> {
    wait_until(what, LONGEST_START, || {
        ensure!(agent.is_running(), "the agent has ended: {}", agent.log());
        Ok(agent.log().contains(words))
    })
}

#[test]
fn an_agent_asks_for_nothing_that_a_proxy_may_not() -> Result<()> {
    with_agents("agent-rights", |cluster| {
        cluster.serve_web(&["web-1", "web-3"])?;
        for agent in cluster.agents() {
            let log = agent.log();
            ensure!(!log.to_lowercase().contains("forbidden"), "{log}");
        }
        Ok(())
    })
}

#[test]
fn an_agent_without_rights_says_so_once_and_serves_when_it_has_them() -> Result<()> {
    without_agents("agent-no-rights", |cluster| {
        cluster.apply(&web())?;
        cluster.scale_web(&["web-1"])?;
        let binding = "system:node-proxier";
        cluster
            .control_plane
            .delete("clusterrolebinding", binding)?;
        cluster.start_agents()?;
        let agent = cluster.agent()?;
        let attempts = || Ok(agent.log().matches("attempt failed").count());
        wait_for("many attempts", LONGEST_START, attempts, |&n| n > 9)?;
        let log = agent.log();
        let is_refusal = |line: &&str| {
            line.contains("WARN") && line.contains("403") && line.contains("cannot be watched")
        };
        let warnings: Vec<_> = log.lines().filter(is_refusal).collect();
        ensure!(warnings.len() == 1, "not said once: {warnings:#?}");
        ensure!(
            warnings[0].contains("system:node-proxier"),
            "no remedy: {warnings:?}"
        );

        cluster.control_plane.kubectl(&[
            "create",
            "clusterrolebinding",
            binding,
            "--clusterrole=system:node-proxier",
            "--user=system:kube-proxy",
        ])?;

        let urls = Cluster::cluster_urls(WEB_PORT)?;
        await_endpoints(&cluster.shell()?, &urls, &["web-1"])
    })
}

#[test]
fn an_agent_that_is_started_before_the_api_server_serves_once_it_is_there() -> Result<()> {
    without_agents("agent-first", |cluster| {
        cluster.apply(&web())?;
        cluster.scale_web(&["web-1"])?;
        cluster.control_plane.stop_apiserver()?;
        cluster.start_agents()?;
        await_log(
            cluster.agent()?,
            "the agent says what it waits for",
            "the API server cannot be watched",
        )?;

        cluster.control_plane.start_apiserver()?;

        let urls = Cluster::cluster_urls(WEB_PORT)?;
        await_endpoints(&cluster.shell()?, &urls, &["web-1"])
    })
}

#[test]
fn an_agent_that_is_killed_and_started_again_loses_no_request() -> Result<()> {
    with_agents("agent-killed", |cluster| {
        cluster.serve_web(&["web-1", "web-3"])?;
        let traffic = traffic::start(cluster)?;
        let agent = cluster.agent()?;
        agent.kill9()?;
        // Nobody tells node `a`.
        cluster.scale_web(&["web-2"])?;

        agent.restart()?;

        let urls = Cluster::cluster_urls(WEB_PORT)?;
        let all = ["web-1", "web-2", "web-3"];
        await_endpoints(&cluster.shell()?, &urls, &all)?;
        traffic.finish("kill -9 and a new start")
    })
}

#[test]
fn an_agent_that_starts_again_without_an_api_server_keeps_what_is_served() -> Result<()> {
    with_agents("agent-alone", |cluster| {
        cluster.serve_web(&["web-1", "web-3"])?;
        let traffic = traffic::start(cluster)?;
        let agent = cluster.agent()?;
        cluster.control_plane.stop_apiserver()?;
        agent.kill9()?;
        agent.restart()?;
        await_log(
            agent,
            "the agent says what it waits for",
            "the API server cannot be watched",
        )?;

        cluster.control_plane.start_apiserver()?;
        cluster.scale_web(&["web-2"])?;

        let urls = Cluster::cluster_urls(WEB_PORT)?;
        let all = ["web-1", "web-2", "web-3"];
        await_endpoints(&cluster.shell()?, &urls, &all)?;
        traffic.finish("a start without an API server")
    })
}
