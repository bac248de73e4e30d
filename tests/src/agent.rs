//! The `netproxy` command on a node: the agent, and what is asked beside it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

use crate::{Node, Place, Process, binary, place::run};

/// How long an agent may take to end when it is told to.
const LONGEST_END: Duration = Duration::from_secs(20);

/// Where an agent's objects come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A directory of YAML.
    Manifests(PathBuf),
    /// An API server, by a kubeconfig.
    Kubernetes(PathBuf),
}

/// How an agent is started.
#[derive(Clone, Debug)]
#[must_use]
pub struct AgentOptions {
    source: Source,
    binary: Option<PathBuf>,
    balances_at_sockets: bool,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl AgentOptions {
    /// An agent with objects from `source`.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            binary: None,
            balances_at_sockets: false,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// An agent with objects from a directory of YAML.
    pub fn manifests(directory: impl Into<PathBuf>) -> Self {
        Self::new(Source::Manifests(directory.into()))
    }

    /// An agent with objects from an API server.
    pub fn kubernetes(kubeconfig: impl Into<PathBuf>) -> Self {
        Self::new(Source::Kubernetes(kubeconfig.into()))
    }

    /// Processes of the node are balanced at their sockets, too. Without this, packets are the only
    /// way to services.
    pub fn at_sockets(mut self) -> Self {
        self.balances_at_sockets = true;
        self
    }

    /// Adds an argument of `netproxy run`.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable.
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Another `netproxy` than the one beside the running program.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }
}

/// An agent of a node. Dropping the handle leaves it running, until the lab ends.
#[derive(Debug)]
pub struct Agent {
    node: Node,
    options: Mutex<AgentOptions>,
    process: Mutex<Process>,
}

impl Agent {
    fn start(node: &Node, options: &AgentOptions) -> Result<Self> {
        let process = start(node, options)?;
        Ok(Self {
            node: node.clone(),
            options: Mutex::new(options.clone()),
            process: Mutex::new(process),
        })
    }

    /// Ends it at once (SIGKILL): what it pinned stays.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill9(&self) -> Result<()> {
        self.process().kill9()
    }

    /// Asks it to end (SIGTERM), and waits for that.
    ///
    /// # Errors
    /// When it had ended before, or does not end.
    pub fn stop(&self) -> Result<ExitStatus> {
        self.process().stop(LONGEST_END)
    }

    /// Starts it again, with the same options, after asking it to end if it still runs.
    ///
    /// # Errors
    /// When it does not end, or cannot be started.
    pub fn restart(&self) -> Result<()> {
        if self.is_running() {
            self.stop()?;
        }
        *self.process() = start(&self.node, &self.options())?;
        Ok(())
    }

    /// As [`Agent::restart`], with other options.
    ///
    /// # Errors
    /// When it does not end, or cannot be started.
    pub fn restart_as(&self, options: AgentOptions) -> Result<()> {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
        self.restart()
    }

    /// The options of the running (or last) one.
    pub fn options(&self) -> AgentOptions {
        let options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        options.clone()
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process().is_running()
    }

    /// What the running (or last) one has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let process = self.process();
        process.log() + &process.stdout()
    }

    /// The running (or last) process.
    #[must_use]
    pub fn process_handle(&self) -> Process {
        self.process().clone()
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Starts `netproxy run` on this node. It does not wait for it to be ready.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start_agent(&self, options: &AgentOptions) -> Result<Agent> {
        Agent::start(self, options)
    }

    /// Runs `netproxy` on this node, with its bpffs, and answers with its standard output.
    ///
    /// # Errors
    /// When it fails, with what it wrote to standard error.
    pub fn netproxy(&self, words: &[&str]) -> Result<String> {
        let mut command = command(self, &binary::find("netproxy")?)?;
        command.args(words).arg("--bpffs").arg(self.bpffs());
        run(self.name(), command)
    }

    /// Starts `netproxy` on this node, for commands that take their time.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start_netproxy(&self, words: &[&str]) -> Result<Process> {
        let mut command = command(self, &binary::find("netproxy")?)?;
        command.args(words).arg("--bpffs").arg(self.bpffs());
        let title = words.first().copied().unwrap_or("netproxy");
        self.site().journal().start(self.name(), title, command)
    }

    /// The same as [`Node::netproxy`], for commands that print JSON.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub fn netproxy_json<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let text = self.netproxy(words)?;
        serde_json::from_str(&text).with_context(|| {
            format!(
                "netproxy {}: not what was expected: {text}",
                words.join(" ")
            )
        })
    }
}

fn start(node: &Node, options: &AgentOptions) -> Result<Process> {
    let AgentOptions {
        source,
        binary,
        balances_at_sockets,
        arguments,
        environment,
    } = options;
    let binary = binary
        .clone()
        .map_or_else(|| binary::find("netproxy"), Ok)?;
    let mut command = command(node, &binary)?;
    command.args(["run", "--node-name", node.name(), "--source"]);
    match source {
        Source::Manifests(directory) => {
            ensure!(
                directory.is_dir(),
                "{} is not a directory",
                directory.display()
            );
            let mut source = OsString::from("manifests:");
            source.push(directory);
            command.arg(source);
        }
        Source::Kubernetes(kubeconfig) => {
            command
                .arg("kubernetes")
                .arg("--kubeconfig")
                .arg(kubeconfig);
        }
    }
    command
        .arg("--bpffs")
        .arg(node.bpffs())
        .arg("--cgroup")
        .arg(node.cgroup());
    if !balances_at_sockets && !arguments.iter().any(|word| word == "--socket-balancing") {
        command.args(["--socket-balancing", "off"]);
    }
    command
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)));
    node.site()
        .journal()
        .start(node.name(), "netproxy", command)
}

fn command(node: &Node, binary: &Path) -> Result<Command> {
    let mut command = node.command(binary.as_os_str())?;
    // The owner's own cluster is none of the lab's.
    command.env_remove("KUBECONFIG");
    Ok(command)
}
