//! What `netproxy check` says about the sockets.

use std::fs;

use anyhow::{Context, Result, ensure};
use netproxy::datapath::{Pins, SocketHook};
use netproxy_lab::{Node, Place, wait_until};
use serde_json::Value;

use super::shop;
use crate::{cluster::LONGEST, command_line::rows, shop::is};

#[test]
fn check_tells_where_the_programs_are_attached_and_which_are_not() -> Result<()> {
    let shop = shop("attachment")?;
    shop.cluster.hold(|| {
        let node = shop.node("a")?;
        let cgroup = path_of(&node)?;
        let all = format!("all 8 programs attached to {cgroup}");
        is(
            "findings",
            &findings(&node, &cgroup)?,
            &vec![("ok".to_owned(), all.clone())],
        )?;

        // As if the agent had been told nothing: all of the node's processes are below the root.
        let found = rows(&node, &["check"])?;
        let found = of_sockets(&found);
        ensure!(
            found.len() == 1 && found[0].0 == "warning" && found[0].1.starts_with(&all),
            "{found:#?}"
        );

        fs::remove_file(Pins::new(node.bpffs()).sockets().join("connect6"))?;
        let found = findings(&node, &cgroup)?;
        ensure!(
            found.len() == 2 && found[1].0 == "warning" && found[1].1.starts_with("connect6 not"),
            "{found:#?}"
        );
        Ok(())
    })
}

#[test]
fn check_names_the_programs_of_others_at_the_same_hooks() -> Result<()> {
    let shop = shop("others")?;
    shop.cluster.hold(|| {
        let (a, b) = (shop.node("a")?, shop.node("b")?);
        let cgroup = path_of(&a)?;
        let hooks = SocketHook::all(&Pins::new(b.bpffs()))?.context("nothing is attached")?;
        let foreign = hooks[0].link.context("no link")?.program.to_string();
        let pod = path_of(&shop.shell()?)?;
        for (place, hook) in [(&pod, "connect4"), (&cgroup, "connect4")] {
            a.run(&[
                "bpftool", "cgroup", "attach", place, hook, "id", &foreign, "multi",
            ])?;
        }

        let found = findings(&a, &cgroup)?;

        let note = format!("(id {foreign}) is at connect4, too, in {cgroup}");
        ensure!(
            found.len() == 2 && found[1].0 == "note" && found[1].1.contains(&note),
            "{found:#?}"
        );
        Ok(())
    })
}

#[test]
fn sockets_that_an_agent_died_before_are_served_by_the_next() -> Result<()> {
    let shop = shop("unfinished")?;
    shop.cluster.hold(|| {
        let (node, agent) = (shop.node("a")?, shop.cluster.agent("a")?);
        agent.kill9()?;
        // As it is between the first sync from nothing and what comes after it.
        fs::remove_dir_all(Pins::new(node.bpffs()).sockets())?;

        agent.restart()?;

        let cgroup = path_of(&node)?;
        let all = format!("all 8 programs attached to {cgroup}");
        wait_until("sockets are served", LONGEST, || {
            Ok(findings(&node, &cgroup)? == [("ok".to_owned(), all.clone())])
        })
    })
}

/// What is found about sockets by one who knows the cgroup that the agent was told.
fn findings(node: &Node, cgroup: &str) -> Result<Vec<(String, String)>> {
    let rows = rows(node, &["check", "--cgroup", cgroup])?;
    Ok(of_sockets(&rows))
}

fn of_sockets(rows: &[Value]) -> Vec<(String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .filter(|row| row["subject"] == "sockets")
        .map(|row| (text(row, "level"), text(row, "found")))
        .collect()
}

fn path_of(place: &dyn Place) -> Result<String> {
    let path = place.cgroup().to_str().context("the cgroup's name")?;
    Ok(path.to_owned())
}
