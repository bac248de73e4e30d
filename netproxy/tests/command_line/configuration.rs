//! kube-proxy's configuration file and flags, as `netproxy run` takes them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Node, command, text};

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
/// How long an agent may take for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// An agent whose log is read as it is written; it is killed with its test.
struct Agent {
    child: Child,
    log: Receiver<String>,
}

impl Agent {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, log }
    }

    /// The lines up to the first that has `part` in it.
    fn lines_until(&self, part: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self
                .log
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no {part:?} in {lines:#?}"));
            let is_last = line.contains(part);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn directory_with(name: &str, content: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(name), content).unwrap();
    directory
}

/// `netproxy run` with these words, without anybody's environment.
fn run(bpffs: &Path, words: &str) -> Command {
    let mut command = command(bpffs, &format!("run {words}"));
    for variable in [
        "KUBECONFIG",
        "NODE_NAME",
        "NETPROXY_SOURCE",
        "NETPROXY_SERVER",
    ] {
        command.env_remove(variable);
    }
    command
}

/// What it says on stderr, and its exit code.
fn outcome(words: &str) -> (String, Option<i32>) {
    let output = run(Path::new("/nowhere"), words).output().unwrap();
    (text(&output.stderr), output.status.code())
}

#[test]
fn an_agent_ends_with_a_clear_error_when_its_file_changes() {
    let node = Node::new();
    let objects = TempDir::new().unwrap();
    let directory = directory_with("config.conf", HEAD);
    let file = directory.path().join("config.conf");
    let words = format!(
        "--config {} --hostname-override a --source manifests:{}",
        file.display(),
        objects.path().display()
    );
    let mut agent = Agent::start(run(node.path(), &words));
    agent.lines_until("agent running");

    fs::write(&file, format!("{HEAD}mode: nftables\n")).unwrap();

    let lines = agent.lines_until("error: ");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("the datapath stays in force")),
        "it did not stop in order: {lines:#?}"
    );
    assert_eq!(
        lines.last().unwrap(),
        &format!(
            "error: configuration {} was changed; the agent ends so that it is started again with \
             the new one. The datapath stays in force",
            file.display()
        )
    );
    assert_eq!(agent.exit_code(), Some(1));
}

#[test]
fn an_agent_with_a_file_still_ends_in_order_when_it_is_told_to() {
    let node = Node::new();
    let objects = TempDir::new().unwrap();
    let own = format!(
        "apiVersion: netproxy.dev/v1alpha1\nkind: NetproxyConfiguration\nsource: manifests:{}\n",
        objects.path().display()
    );
    let directory = directory_with("config.conf", &format!("{HEAD}mode: ipvs\n---\n{own}"));
    let words = format!("--config {}/config.conf", directory.path().display());
    let mut agent = Agent::start(run(node.path(), &words));
    let lines = agent.lines_until("agent running");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("the proxy mode is always eBPF")),
        "{lines:#?}"
    );

    let pid = Pid::from_raw(i32::try_from(agent.child.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();

    assert_eq!(agent.exit_code(), Some(0));
}

#[test]
fn a_wrong_file_is_refused_with_everything_that_is_wrong() {
    let directory = directory_with(
        "kp.yaml",
        &format!("{HEAD}oomScoreAdj: low\nbindAddress: x\n"),
    );
    let file = directory.path().join("kp.yaml");

    let (said, code) = outcome(&format!("--config {}", file.display()));

    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        format!(
            "error: configuration {}: 2 settings are wrong\n  \
             oomScoreAdj: \"low\": must be a whole number of 32 bits\n  \
             bindAddress: \"x\": must be an IP address, for example 192.0.2.1 or 0.0.0.0\n",
            file.display()
        )
    );
}

#[test]
fn a_wrong_flag_is_refused_by_its_name() {
    let (understood, code) = outcome("--bind-address x");
    let (parsed, usage) = outcome("--iptables-sync-period 30");

    assert_eq!(code, Some(1));
    assert!(
        understood.starts_with("error: command line: --bind-address: \"x\": must be an IP"),
        "{understood}"
    );
    assert_eq!(usage, Some(2));
    assert!(
        parsed
            .contains("'30' for '--iptables-sync-period <DURATION>': must be a duration like 30s"),
        "{parsed}"
    );
}

#[test]
fn what_means_nothing_here_is_one_warning() {
    let (said, code) = outcome(
        "--init-only --oom-score-adj=-998 --conntrack-min 1 --conntrack-max-per-core 1 --profiling",
    );

    assert_eq!(code, Some(0), "{said}");
    let warnings: Vec<_> = said
        .lines()
        .filter(|line| line.contains("accepted, but without a meaning here"))
        .collect();
    assert_eq!(warnings.len(), 1, "{said}");
    for name in [
        "--oom-score-adj",
        "--profiling",
        "--conntrack-max-per-core, --conntrack-min (",
    ] {
        assert!(warnings[0].contains(name), "{said}");
    }
}

#[test]
fn the_log_is_as_kube_proxys_flags_want_it_unless_netproxys_do() {
    let (json, _) = outcome("--init-only=true --logging-format json -v=4");
    let (text, _) = outcome("--init-only --logging-format json --log-format text");

    let line: Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(line["level"], "WARN");
    assert!(text.contains(" WARN "), "{text}");
}

#[test]
fn what_a_file_overrides_is_named() {
    let directory = directory_with("kp.yaml", HEAD);
    let path = directory.path().display();

    let (said, code) = outcome(&format!(
        "--init-only --config {path}/kp.yaml --masquerade-all --hostname-override a -v 2"
    ));

    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("overrides them flags=\"--masquerade-all\""),
        "{said}"
    );
}

#[test]
fn the_configuration_is_written_with_its_defaults() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("written.yaml");

    let (said, code) = outcome(&format!(
        "--write-config-to {} --masquerade-all=true --healthz-port 1024 --metrics-port 0",
        file.display()
    ));

    assert_eq!(code, Some(0), "{said}");
    let written = fs::read_to_string(&file).unwrap();
    for line in [
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1",
        "kind: KubeProxyConfiguration",
        "  masqueradeAll: true",
        "  syncPeriod: 30s",
        "healthzBindAddress: 0.0.0.0:1024",
        "metricsBindAddress: \"\"",
        "  maxPerCore: 32768",
    ] {
        assert!(
            written.lines().any(|written| written == line),
            "{line} is not in {written}"
        );
    }
}

#[test]
fn cleaning_up_is_what_the_command_of_that_name_does() {
    let node = Node::new();
    drop(node.datapath());

    let output = run(node.path(), "--cleanup").output().unwrap();

    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).starts_with("removed "),
        "{}",
        text(&output.stdout)
    );
    assert!(!node.path().join("netproxy").exists());
}

#[test]
fn help_tells_kube_proxys_flags_from_netproxys() {
    let output = run(Path::new("/nowhere"), "--help").output().unwrap();
    let help = text(&output.stdout);

    let section = |heading: &str| {
        let after = help.split_once(&format!("\n{heading}:\n"));
        let (_, after) = after.unwrap_or_else(|| panic!("no {heading:?} in {help}"));
        // A section goes on while its lines are indented or empty.
        let lines = after
            .lines()
            .take_while(|line| line.is_empty() || line.starts_with(' '));
        lines.collect::<Vec<_>>().join("\n")
    };
    for (heading, flags) in [
        (
            "kube-proxy's flags",
            [
                "--config <FILE>",
                "--nodeport-addresses <LIST>",
                "-v, --v <N>",
            ],
        ),
        (
            "kube-proxy's flags without a meaning here",
            [
                "--oom-score-adj <N>",
                "--ipvs-scheduler <TEXT>",
                "--profiling[=<BOOL>]",
            ],
        ),
        (
            "netproxy",
            [
                "--device <PATTERN>",
                "--map-size <MAP=ENTRIES>",
                "--masquerade <",
            ],
        ),
    ] {
        for flag in flags {
            assert!(
                section(heading).contains(flag),
                "{flag} is not under {heading} in {help}"
            );
        }
    }
    let short = run(Path::new("/nowhere"), "-h").output().unwrap();
    assert!(!text(&short.stdout).contains("--ipvs-scheduler"));
}

#[test]
fn the_version_is_told_where_kube_proxy_tells_it() {
    let output = run(Path::new("/nowhere"), "--version").output().unwrap();

    assert_eq!(
        text(&output.stdout),
        format!("netproxy {}\n", env!("CARGO_PKG_VERSION"))
    );
}
