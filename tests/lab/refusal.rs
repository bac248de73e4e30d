//! What `netproxy` says when it cannot do its work: one message that names the object, the reason
//! and the remedy.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Lab, Node, Place};

/// What a program left behind that was not to succeed.
struct Refusal {
    said: String,
}

impl Refusal {
    /// Runs `netproxy` on the node, through `prefix` (which may take privileges away).
    fn of(node: &Node, prefix: &[&str], words: &[&str]) -> Result<Self> {
        let netproxy = netproxy_lab::binary::find("netproxy")?;
        let netproxy = netproxy.to_string_lossy().into_owned();
        let words = [prefix, &[&netproxy], words].concat();
        let (program, arguments) = words.split_first().context("no program")?;
        let mut command: Command = node.command(program.as_ref())?;
        let output = command
            .args(arguments)
            .env_remove("NETPROXY_LOG")
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let what = words.join(" ");
        ensure!(
            output.status.code() == Some(1),
            "{what} ended with {}: {said}",
            output.status
        );
        ensure!(!said.contains("panicked"), "{what}: {said}");
        let errors = said
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count();
        ensure!(errors == 1, "{what} has {errors} messages: {said}");
        Ok(Self { said })
    }

    /// Holds that the message has all of these.
    fn names(&self, parts: &[&str]) -> Result<()> {
        let message = self.said.lines().find(|line| line.starts_with("error: "));
        let message = message.context("no message")?;
        for part in parts {
            ensure!(message.contains(part), "{part:?} is not in: {message}");
        }
        Ok(())
    }
}

fn on_a_node(name: &str, work: impl FnOnce(&Lab, &Node) -> Result<()>) -> Result<()> {
    Lab::builder(name)
        .node("a", Cni::Bridge)
        .run(|lab| work(lab, &lab.node("a")?))
}

#[test]
fn without_a_bpf_file_system_the_agent_says_how_to_mount_one() -> Result<()> {
    on_a_node("no-bpffs", |lab, node| {
        let objects = lab.directory().join("objects");
        fs::create_dir(&objects)?;
        let plain = lab.directory().join("plain");
        fs::create_dir(&plain)?;
        let (source, plain) = (
            format!("manifests:{}", objects.display()),
            plain.display().to_string(),
        );
        let words = [
            "run",
            "--node-name",
            "a",
            "--source",
            &source,
            "--bpffs",
            &plain,
        ];
        Refusal::of(node, &[], &words)?.names(&[&plain, "not on a BPF file system", "mount -t bpf"])
    })
}

#[test]
fn without_privileges_the_agent_says_what_it_lacks() -> Result<()> {
    on_a_node("no-root", |lab, node| {
        let objects = lab.directory().join("objects");
        fs::create_dir(&objects)?;
        let source = format!("manifests:{}", objects.display());
        let bpffs = node.bpffs().display().to_string();
        let words = [
            "run",
            "--node-name",
            "a",
            "--source",
            &source,
            "--bpffs",
            &bpffs,
        ];
        // Nobody's user id would not do: the program may lie where only root may go.
        let prefix = [
            "setpriv",
            "--bounding-set",
            "-all",
            "--inh-caps",
            "-all",
            "--",
        ];
        Refusal::of(node, &prefix, &words)?.names(&["root"])
    })
}

#[test]
fn without_manifests_the_agent_names_the_directory() -> Result<()> {
    on_a_node("no-manifests", |lab, node| {
        let absent = lab.directory().join("absent").display().to_string();
        let source = format!("manifests:{absent}");
        let bpffs = node.bpffs().display().to_string();
        let words = [
            "run",
            "--node-name",
            "a",
            "--source",
            &source,
            "--bpffs",
            &bpffs,
        ];
        Refusal::of(node, &[], &words)?.names(&[&absent])
    })
}

#[test]
fn without_a_datapath_the_viewing_commands_say_where_they_looked() -> Result<()> {
    on_a_node("no-datapath", |_, node| {
        let bpffs = node.bpffs().display().to_string();
        for command in ["services", "endpoints", "flows", "counters"] {
            let refusal = Refusal::of(node, &[], &[command, "--bpffs", &bpffs])?;
            refusal.names(&[&bpffs, "--bpffs"])?;
        }
        Ok(())
    })
}
