//! What a kube-proxy that is gone has left in the packet filter, and how that is removed.
//!
//! Its rules are needed by new connections only; for those that it began, the kernel remembers the
//! translation. But it goes on translating only as long as some table has a nat chain
//! (`nf_nat_unregister_fn` in the kernel), and some rule uses connection tracking
//! (`nf_ct_netns_put`). So while there are such connections, a table that does nothing else takes the place of
//! kube-proxy's.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use thiserror::Error;

use super::iptables::{Removal, VARIANTS, Variant, removal};
use super::kube_proxy::{IPVS_DEVICE, has_legacy_nat, may_serve, running, serves};
use super::{Entry, TABLE, entries, translated};

/// The table that keeps connections going.
const KEEPER: &str = "netproxy-hand-over";

/// Why leftovers cannot be found or removed.
#[derive(Debug, Error)]
pub enum LeftoverError {
    /// The packet filter cannot be read.
    #[error("the packet filter cannot be read")]
    Read(#[source] io::Error),
    /// Somebody would write them back.
    #[error(
        "kube-proxy runs on this node (process {0}): stop it first, or its rules come back; --force \
         removes them all the same"
    )]
    Running(u32),
    /// A program that is needed for it.
    #[error(
        "{program} cannot be run, which is needed for kube-proxy's rules of this kind; install it"
    )]
    Missing {
        /// Which.
        program: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A program that failed.
    #[error("{program}: {reason}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it says.
        reason: String,
    },
}

/// What is there.
#[derive(Debug)]
pub struct Leftovers {
    /// Families of nftables that have kube-proxy's table.
    tables: Vec<&'static str>,
    iptables: Vec<(Variant, Removal)>,
    has_ipvs: bool,
}

impl Leftovers {
    /// Looks for them.
    ///
    /// # Errors
    /// When something cannot be looked at, or kube-proxy runs and `may_run` is not set.
    pub fn find(may_run: bool) -> Result<Self, LeftoverError> {
        let processes = running().map_err(LeftoverError::Read)?;
        if let Some(pid) = processes.first().filter(|_| !may_run) {
            return Err(LeftoverError::Running(*pid));
        }
        let entries = entries().map_err(LeftoverError::Read)?;
        let tables = entries
            .iter()
            .filter(|entry| entry.chain.is_none() && entry.table == TABLE)
            .map(|entry| entry.family)
            .collect();
        let mut iptables = Vec::new();
        for variant in VARIANTS {
            let saved = match run(variant.save, &[], &[]) {
                Ok(saved) => saved,
                Err(LeftoverError::Missing { .. }) if !is_needed(variant, &entries) => continue,
                Err(error) => return Err(error),
            };
            let removal = removal(&saved);
            if !removal.chains.is_empty() {
                iptables.push((variant, removal));
            }
        }
        Ok(Self {
            tables,
            iptables,
            has_ipvs: Path::new("/sys/class/net").join(IPVS_DEVICE).exists(),
        })
    }

    /// What is there, a line each.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let tables = self.tables.iter();
        let mut names: Vec<_> = tables
            .map(|family| format!("nftables table {family} {TABLE}"))
            .collect();
        for (variant, removal) in &self.iptables {
            let command = variant.save.trim_end_matches("-save");
            for (table, count) in &removal.chains {
                names.push(format!("{count} chains of {command}, table {table}"));
            }
        }
        names
    }

    /// What is there and is not removed, with what to do about it.
    #[must_use]
    pub fn left(&self) -> Option<String> {
        self.has_ipvs.then(|| {
            format!(
                "left: {IPVS_DEVICE}, of the IPVS mode; remove it with \
                 `ipvsadm --clear && ip link delete {IPVS_DEVICE}`"
            )
        })
    }

    /// Removes all but what is [left](Self::left); yields how many connections that kube-proxy began go on.
    pub fn remove(&self) -> Result<usize, LeftoverError> {
        let connections = translated().map_err(LeftoverError::Read)?;
        let mut script = Vec::new();
        for (family, is_its) in [("ip", true), ("ip6", false)] {
            let mut of_family = connections.iter();
            if of_family.any(|it| it.client.is_ipv4() == is_its) {
                script.push(keeper(family));
            }
        }
        script.extend(self.tables.iter().map(|family| deletion(family, TABLE)));
        nft(&script)?;
        for (variant, removal) in &self.iptables {
            run(variant.restore, &["--noflush"], &removal.script)?;
        }
        if connections.is_empty() {
            let_go()?;
        }
        Ok(connections.len())
    }
}

/// Removes the table that keeps connections of kube-proxy going, where there is one and nobody needs it;
/// yields whether one is still needed.
pub fn release_connections() -> Result<bool, LeftoverError> {
    let entries = entries().map_err(LeftoverError::Read)?;
    if !entries.iter().any(|entry| entry.table == KEEPER) {
        return Ok(false);
    }
    let is_needed = !may_serve() && !translated().map_err(LeftoverError::Read)?.is_empty();
    if !is_needed {
        let_go()?;
    }
    Ok(is_needed)
}

/// A table with a nat chain that translates nothing, and a rule that has connections tracked.
fn keeper(family: &str) -> String {
    format!(
        "table {family} {KEEPER} {{\n\
           chain nat {{ type nat hook prerouting priority dstnat; }}\n\
           chain tracked {{ ct state invalid return; }}\n\
         }}\n\
         flush chain {family} {KEEPER} tracked\n\
         add rule {family} {KEEPER} tracked ct state invalid return\n"
    )
}

fn let_go() -> Result<(), LeftoverError> {
    let entries = entries().map_err(LeftoverError::Read)?;
    let kept = entries
        .iter()
        .filter(|entry| entry.chain.is_none() && entry.table == KEEPER);
    let script: Vec<_> = kept.map(|entry| deletion(entry.family, KEEPER)).collect();
    nft(&script)
}

fn deletion(family: &str, table: &str) -> String {
    format!("delete table {family} {table}")
}

/// All of it, or nothing.
fn nft(script: &[String]) -> Result<(), LeftoverError> {
    if script.is_empty() {
        return Ok(());
    }
    run("nft", &["-f", "-"], script).map(drop)
}

/// Whether a variant of iptables that cannot be run may have rules of kube-proxy.
fn is_needed(variant: Variant, entries: &[Entry]) -> bool {
    let has_chains = |family| {
        entries
            .iter()
            .any(|entry| entry.family == family && entry.chain.as_deref().is_some_and(serves))
    };
    match variant.save {
        "iptables-nft-save" => has_chains("ip"),
        "ip6tables-nft-save" => has_chains("ip6"),
        "iptables-legacy-save" => has_legacy_nat("ip_tables_names"),
        _ => has_legacy_nat("ip6_tables_names"),
    }
}

/// Runs a program with these lines as its input; yields what it prints.
fn run(program: &'static str, words: &[&str], input: &[String]) -> Result<String, LeftoverError> {
    let missing = |source| LeftoverError::Missing { program, source };
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // What it does not read, it complains about.
        let _ = stdin.write_all((input.join("\n") + "\n").as_bytes());
    }
    let output = child.wait_with_output().map_err(missing)?;
    if !output.status.success() {
        return Err(LeftoverError::Failed {
            program,
            reason: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
