//! Which cgroup is found in containers: private cgroup namespaces with real mounts.

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Lab, Node, Place, binary};
use serde_json::Value;

/// `$1`: a directory for mounts, `$2`: where cgroup v2 is mounted, `$3`: netproxy.
const HANDED_IN: &str = "mkdir $1/host && mount --bind $2 $1/host";
/// What a runtime mounts for a container.
const CONTAINERS: &str = "umount -l $2 && mount -t cgroup2 none $2";
const CHECK: &str = "$3 check -o json || true";

#[test]
fn in_a_container_the_hosts_cgroup_is_found_where_it_was_handed_in() -> Result<()> {
    in_node("root-container", |place| {
        let own_pids = ["--cgroup", "--mount", "--pid", "--fork", "--mount-proc"];
        let script = format!("{HANDED_IN} && {CONTAINERS} && {CHECK}");
        place.finds(&own_pids, &script, "ok", "/host: it comes from outside")?;
        let script = format!("{CONTAINERS} && {CHECK}");
        place.finds(
            &own_pids,
            &script,
            "warning",
            ": it belongs to the agent's own",
        )
    })
}

#[test]
fn in_a_container_with_the_hosts_processes_a_wrong_cgroup_is_told_by_the_first_of_them()
-> Result<()> {
    in_node("root-pids", |place| {
        let hosts_pids = ["--cgroup", "--mount"];
        let script = format!("{HANDED_IN} && {CONTAINERS} && {CHECK}");
        let found = "/host: the node's first process is below it";
        place.finds(&hosts_pids, &script, "ok", found)?;
        let script = format!("{CONTAINERS} && {CHECK}");
        let found = ": it is only a part of the node";
        place.finds(&hosts_pids, &script, "warning", found)
    })
}

#[test]
fn in_a_node_that_is_a_container_the_nodes_cgroup_is_found_and_not_the_machines() -> Result<()> {
    in_node("root-nested", |place| {
        // The node: its first process is the shell, and it sees the machine's hierarchy, too.
        let node = ["--cgroup", "--mount", "--pid", "--fork", "--mount-proc"];
        let agent = format!("{HANDED_IN} && {CONTAINERS} && {CHECK}");
        let script = format!(
            "mkdir $1/machine && mount --bind $2 $1/machine && {CONTAINERS} && mkdir $2/agent && \
             sh -ec 'echo 0 > $2/agent/cgroup.procs; \
                     unshare --cgroup --mount sh -ec \"$0\" sh $1 $2 $3' '{agent}' $1 $2 $3"
        );
        let found = "/host: the node's first process is below it";
        place.finds(&node, &script, "ok", found)
    })
}

/// A node without an agent.
struct Ground<'a> {
    lab: &'a Lab,
    node: Node,
}

fn in_node(name: &str, rule: impl FnOnce(&Ground<'_>) -> Result<()>) -> Result<()> {
    Lab::builder(name).node("a", Cni::Bridge).run(|lab| {
        rule(&Ground {
            lab,
            node: lab.node("a")?,
        })
    })
}

impl Ground<'_> {
    /// Runs the script in new namespaces, and holds what its check finds about the cgroup.
    fn finds(&self, namespaces: &[&str], script: &str, level: &str, found: &str) -> Result<()> {
        let mounts = self.lab.directory().join("mounts");
        // Nothing is mounted there in this namespace.
        let _ = std::fs::remove_dir_all(&mounts);
        std::fs::create_dir(&mounts)?;
        let mount_point = self
            .node
            .cgroup()
            .ancestors()
            .find(|path| path.join("cgroup.procs").exists() && !path.join("cgroup.type").exists())
            .context("the root of the cgroup v2 tree")?;
        let netproxy = binary::find("netproxy")?;
        let text = |path: &std::path::Path| path.display().to_string();
        let paths = [text(&mounts), text(mount_point), text(&netproxy)];
        let [mounts, mount_point, netproxy] = paths.each_ref().map(String::as_str);

        let words = [
            &["unshare"],
            namespaces,
            &["sh", "-ec", script, "sh", mounts, mount_point, netproxy],
        ];
        let printed = self.node.run(&words.concat())?;

        let rows: Vec<Value> = serde_json::from_str(&printed).context("no findings")?;
        let row = rows.iter().find(|row| row["subject"] == "cgroup v2");
        let row = row.context("nothing about the cgroup")?;
        let said = row["found"].as_str().unwrap_or_default();
        ensure!(
            row["level"] == level && said.contains(found),
            "{level}: …{found}, and not {row:#}"
        );
        Ok(())
    }
}
