//! The tier on the oldest kernel: test binaries that were built here, run in an emulated machine.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::toolchain::host_cargo;
use crate::workspace::Workspace;

/// What of the lab is run: by sockets and packets, to local and remote endpoints, what ends, and what other
/// kernels may lack and tests elsewhere ignore (`sctp`, `stacked`). An emulated machine is twenty times slower.
const LAB: [&str; 9] = [
    "cluster_ip::a_pod_reaches",
    "monitor::packets_and_sockets",
    "node_port::a_client_is_seen",
    "path_mtu::",
    "sctp::",
    "opt_out::pods_follow_their_own_wish",
    "sockets::frontends::node_ports",
    "stacked::",
    "stale_sockets::a_connected_udp_socket_ends",
];

/// Runs the program tier and that part of the lab there.
pub(super) fn command(workspace: &Workspace) -> Result<Command> {
    let [program, lab] = binaries(workspace)?;
    let itself = env::current_exe().context("this program has no path")?;
    let mut command = Command::new(itself);
    // Manifests and programs are looked for from where cargo runs tests. The fuzzer would take half an hour, and
    // knows nothing of kernels.
    let script = "cd tests; \"$1\" --test-threads=2 --skip fuzz::; outcome=$?; shift; \"$@\" && exit $outcome";
    command
        .args(["emulate", "--", "sh", "-c", script, "sh"])
        .args([program, lab])
        .args(["--test-threads=2", "--include-ignored"])
        .args(LAB);
    Ok(command)
}

/// The binaries of the tiers program and lab, built.
fn binaries(workspace: &Workspace) -> Result<[PathBuf; 2]> {
    let output = host_cargo(workspace)
        .args(["test", "--release", "--package=netproxy-tests", "--no-run"])
        .args(["--test=program", "--test=lab", "--message-format=json"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    ensure!(output.status.success(), "the tests cannot be built");
    let messages = String::from_utf8_lossy(&output.stdout);
    let find = |name: &str| {
        messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == name)
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .with_context(|| format!("cargo tells of no binary of the tests {name}"))
    };
    Ok([find("program")?, find("lab")?])
}
