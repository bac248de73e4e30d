//! What nodes, pods and clients have in common: a network namespace, a cgroup, two addresses, and
//! programs that run there.

use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd;

use crate::{
    Addresses, Process, cgroup, journal::Journal, namespace::Namespace, orders, process::quoted,
};

/// The ground a place stands on.
#[derive(Debug)]
pub struct Site {
    name: String,
    namespace: Namespace,
    cgroup: PathBuf,
    addresses: Addresses,
    journal: Arc<Journal>,
}

impl Site {
    /// Makes the namespace and the cgroup, recorded before.
    pub(crate) fn create(
        journal: &Arc<Journal>,
        kind: &str,
        name: &str,
        addresses: Addresses,
        cgroup: PathBuf,
    ) -> Result<Self> {
        let namespace = Namespace::create(&journal.run_dir().add(kind, name, addresses)?)?;
        cgroup::create(&cgroup)?;
        // IPv4 settings come from the machine's own namespace; and addresses must be usable at once,
        // without waiting for duplicates to object. Whom the kernel has just sent a redirect it sends no
        // error for a second (ip_rt_send_redirect, inet_peer_xrlim_allow): tests are faster.
        namespace.set(&[
            ("ipv4/ip_forward", "0"),
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv6/icmp/ratelimit", "0"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv6/conf/all/accept_dad", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/all/accept_ra", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
        ])?;
        Ok(Self {
            name: name.to_owned(),
            namespace,
            cgroup,
            addresses,
            journal: journal.clone(),
        })
    }

    /// Writes settings below `/proc/sys/net`.
    pub(crate) fn set(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.namespace.set(settings)
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }
}

/// A place where programs run: a [`Node`](crate::Node), [`Pod`](crate::Pod) or
/// [`Client`](crate::Client).
pub trait Place {
    /// The ground it stands on.
    fn site(&self) -> &Site;

    /// Its name in the lab.
    fn name(&self) -> &str {
        &self.site().name
    }

    /// Its addresses; a node's `InternalIP`s.
    fn addresses(&self) -> Addresses {
        self.site().addresses
    }

    /// Its IPv4 address.
    fn ipv4(&self) -> Ipv4Addr {
        self.addresses().v4
    }

    /// Its IPv6 address.
    fn ipv6(&self) -> Ipv6Addr {
        self.addresses().v6
    }

    /// Its address of the family of `other`.
    fn address_like(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() {
            self.ipv4().into()
        } else {
            self.ipv6().into()
        }
    }

    /// Its network namespace.
    fn namespace(&self) -> &Namespace {
        &self.site().namespace
    }

    /// Its directory in the cgroup v2 tree. A pod's is below its node's.
    fn cgroup(&self) -> &Path {
        &self.site().cgroup
    }

    /// A command whose process will be in this place before its first instruction.
    ///
    /// # Errors
    /// When the place is gone.
    fn command(&self, program: &OsStr) -> Result<Command> {
        let namespace = self.namespace().clone();
        let procs = cgroup::procs(self.cgroup())?;
        let mut command = Command::new(program);
        // A group of its own: Ctrl-C is the owner's business, and the watchdog ends the rest.
        command.process_group(0);
        let join = move || {
            // "0" means the process that writes.
            unistd::write(&procs, b"0")?;
            namespace.enter()
        };
        // SAFETY: between fork and exec, `join` makes two system calls on descriptors that were
        // opened before; it neither allocates nor takes a lock.
        unsafe { command.pre_exec(join) };
        Ok(command)
    }

    /// Runs a program to its end and answers with its standard output.
    ///
    /// # Errors
    /// When it fails, with what it wrote to standard error.
    fn run(&self, words: &[&str]) -> Result<String> {
        let (program, arguments) = words.split_first().context("no program given")?;
        let mut command = self.command(program.as_ref())?;
        command.args(arguments);
        run(self.name(), command)
    }

    /// Starts a program, which runs until it ends by itself or the lab does; its output is in the
    /// lab's logs.
    ///
    /// # Errors
    /// When it cannot be started.
    fn spawn(&self, words: &[&str]) -> Result<Process> {
        let (program, arguments) = words.split_first().context("no program given")?;
        let mut command = self.command(program.as_ref())?;
        command.args(arguments);
        self.site().journal.start(self.name(), program, command)
    }

    /// Runs lines as `ip` commands, without the word `ip`: `"route add …\naddr add …"`.
    ///
    /// # Errors
    /// With the line that failed.
    fn ip(&self, lines: &str) -> Result<()> {
        orders::ip(self.command("ip".as_ref())?, lines).with_context(|| self.name().to_owned())
    }

    /// Adds a rule of policy routing, of the family of `like`: `"from 172.31.1.11 lookup 101"`.
    ///
    /// # Errors
    /// When the kernel refuses it.
    fn add_rule(&self, like: IpAddr, rule: &str) -> Result<()> {
        let family = if like.is_ipv4() { "-4" } else { "-6" };
        let words = ["ip", family, "rule", "add"].into_iter();
        self.run(&words.chain(rule.split(' ')).collect::<Vec<_>>())?;
        Ok(())
    }
}

/// Runs the command of a place to its end and answers with its standard output.
pub(crate) fn run(place: &str, mut command: Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{place}: {} cannot be started", quoted(&command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{place}: `{}` ended with {}: {}",
            quoted(&command),
            output.status,
            complaint.trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{place}: `{}` does not print UTF-8", quoted(&command)))
}

/// Names become parts of file names and device names.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let fits = !name.is_empty()
        && name.len() <= 40
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    ensure!(
        fits,
        "the name {name:?} does not fit: use up to 40 of a-z, 0-9 and -"
    );
    Ok(())
}
