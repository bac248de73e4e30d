//! A pod of the chart's `DaemonSet`, as a kubelet would start it on a node of the lab: the container's
//! mounts, its read-only root, its account's token, its variables, its capabilities and its arguments
//! are those that the API server has. The kernel is asked for all of it, but for seccomp and `AppArmor`.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use netproxy_lab::binary;
use serde_json::Value;

use super::{NAMESPACE, get};
use crate::cluster::Cluster;

/// Where a pod finds its account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Stands where the lab expects `netproxy`: takes the node from the arguments, and starts the pod.
/// What it mounts is gone with it.
const START: &str = r#"#!/bin/sh
set -e
while [ $# -gt 0 ]; do
    case $1 in
        --bpffs) bpffs=$2 ;;
        --cgroup) cgroup=$2 ;;
        --node-name) export NODE_NAME="$2" ;;
    esac
    shift
done
files=@files@
root=$files/root-$NODE_NAME
mkdir -p "$root"
export root bpffs cgroup files
exec unshare --mount --propagation=private @pids@ sh -e "$files/container"
"#;

/// Before the container's own mounts: a root with a C library, and the file systems of a kernel.
const ROOT: &str = r#"
mount -t tmpfs tmpfs "$root"
for path in usr lib lib64 sys; do
    mkdir "$root/$path"
    mount --rbind "/$path" "$root/$path"
done
mkdir "$root/proc"
mount -t proc proc "$root/proc"
touch "$root/netproxy"
mount --bind @netproxy@ "$root/netproxy"
mkdir -p "$root@account@"
cp "$files/token" "$files/ca.crt" "$files/namespace" "$root@account@"
"#;

/// The container `netproxy` of the chart's `DaemonSet`.
#[derive(Debug)]
pub(super) struct PlayedPod {
    spec: Value,
    container: Value,
}

impl PlayedPod {
    pub(super) fn of_chart(cluster: &Cluster<'_>) -> Result<Self> {
        let spec = get(cluster, "daemonset")?["spec"]["template"]["spec"].take();
        ensure!(spec["hostNetwork"] == true);
        let container = spec["containers"][0].clone();
        Ok(Self { spec, container })
    }

    /// Writes what starts it; the file stands for `netproxy`.
    pub(super) fn program(&self, cluster: &Cluster<'_>) -> Result<PathBuf> {
        let files = cluster.control_plane.directory().join("pod");
        fs::create_dir(&files)?;
        let account = self.spec["serviceAccountName"]
            .as_str()
            .context("account")?;
        let words = ["create", "token", account, "--namespace", NAMESPACE];
        let token = cluster.control_plane.kubectl(&words)?;
        fs::write(files.join("token"), token.trim())?;
        fs::write(files.join("namespace"), NAMESPACE)?;
        fs::copy(
            cluster.control_plane.certificate_authority(),
            files.join("ca.crt"),
        )?;
        let map = get(cluster, "configmap")?;
        for (name, text) in map["data"].as_object().context("data")? {
            fs::write(files.join(name), text.as_str().context("text")?)?;
        }
        let netproxy = binary::find("netproxy")?;
        let netproxy = netproxy.to_str().context("the path is UTF-8")?;
        let root = ROOT
            .replace("@netproxy@", netproxy)
            .replace("@account@", ACCOUNT);
        let container = [root, self.mounts()?, self.start()?].concat();
        fs::write(files.join("container"), container)?;
        let program = files.join("netproxy");
        let path = files.to_str().context("the path is UTF-8")?;
        // A container's own processes end with it.
        let pids = match self.spec["hostPID"].as_bool() {
            Some(true) => "",
            _ => "--pid --fork --kill-child",
        };
        let start = START.replace("@files@", path).replace("@pids@", pids);
        write_program(&program, &start)?;
        Ok(program)
    }

    /// The commands that mount what the container mounts. The node's bpffs and cgroups stand for the
    /// machine's.
    fn mounts(&self) -> Result<String> {
        let mut commands = String::new();
        for mount in list(&self.container["volumeMounts"])? {
            let path = text(&mount["mountPath"])?;
            let name = text(&mount["name"])?;
            let is_it = |volume: &&Value| volume["name"] == name;
            let volumes = list(&self.spec["volumes"])?;
            let volume = volumes.iter().find(is_it).context("the mount's volume")?;
            let (source, make) = match volume["hostPath"]["path"].as_str() {
                Some("/sys/fs/bpf") => ("$bpffs".to_owned(), "mkdir -p"),
                Some("/sys/fs/cgroup") => ("$cgroup".to_owned(), "mkdir -p"),
                // What `netproxy init` has mounted: nothing.
                Some("/run/netproxy") => {
                    commands += "mkdir \"$root/nothing\"\n";
                    ("$root/nothing".to_owned(), "mkdir -p")
                }
                Some(other) => anyhow::bail!("nobody knows what to play for {other}"),
                None => (
                    format!("$files/{}", text(&mount["subPath"])?),
                    "install -D /dev/null",
                ),
            };
            if !path.starts_with("/sys") {
                writeln!(commands, "{make} \"$root{path}\"")?;
            }
            writeln!(commands, "mount --bind \"{source}\" \"$root{path}\"")?;
            if mount["readOnly"] == true {
                writeln!(commands, "mount -o remount,bind,ro \"$root{path}\"")?;
            }
        }
        Ok(commands)
    }

    /// The commands that make the root read-only, and this process the container's.
    fn start(&self) -> Result<String> {
        let security = &self.container["securityContext"];
        ensure!(security["capabilities"]["drop"][0] == "ALL", "{security}");
        ensure!(security["readOnlyRootFilesystem"] == true, "{security}");
        ensure!(security["allowPrivilegeEscalation"] == false, "{security}");
        let granted = list(&security["capabilities"]["add"])?
            .iter()
            .map(|capability| Ok(format!(",+{}", text(capability)?.to_lowercase())))
            .collect::<Result<String>>()?;
        let mut variables = String::new();
        for variable in list(&self.container["env"])? {
            // That one is a field of the pod.
            if variable["name"] != "NODE_NAME" {
                let (name, value) = (text(&variable["name"])?, text(&variable["value"])?);
                writeln!(variables, "export {name}='{value}'")?;
            }
        }
        let arguments: Vec<_> = list(&self.container["args"])?
            .iter()
            .map(|word| Ok(format!("'{}'", text(word)?)))
            .collect::<Result<_>>()?;
        Ok(format!(
            "{variables}mount -o remount,ro \"$root\"\n\
             exec chroot \"$root\" /usr/bin/setpriv --bounding-set=-all{granted} --inh-caps=-all \
             --no-new-privs /netproxy {}\n",
            arguments.join(" ")
        ))
    }
}

fn write_program(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value
        .as_array()
        .with_context(|| format!("no list: {value}"))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("no text: {value}"))
}
