//! What a kube-proxy has left in the kernel: it keeps translating, from its last state.

use std::process::Command;
use std::{fs, io};

use super::Finding;
use super::machine::Machine;
use crate::netfilter::{self, Entry, IPVS_DEVICE, TABLE, is_of_kube_proxy};

const SUBJECT: &str = "kube-proxy rules";

/// What removes all but the IPVS mode's.
const REMEDY: &str = "once netproxy serves and kube-proxy is gone: netproxy cleanup --kube-proxy";

pub(super) fn check(machine: &Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    match netfilter::entries() {
        Ok(entries) => findings.extend(in_nftables(&entries)),
        Err(error) => findings.push(
            Finding::note(
                SUBJECT,
                format!("unknown: nftables could not be read: {error}"),
            )
            .remedy("run as root, or add CAP_NET_ADMIN to the container's capabilities"),
        ),
    }
    for (list, command) in [
        ("net/ip_tables_names", "iptables"),
        ("net/ip6_tables_names", "ip6tables"),
    ] {
        findings.extend(in_legacy_iptables(machine, list, command, save));
    }
    if machine.devices().iter().any(|device| device == IPVS_DEVICE) {
        findings.push(
            Finding::warning(
                SUBJECT,
                format!("{IPVS_DEVICE} is there: IPVS mode was used"),
            )
            .remedy(format!(
                "once kube-proxy is gone: ipvsadm --clear && ip link delete {IPVS_DEVICE}"
            )),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(SUBJECT, "none"));
    }
    findings
}

fn in_nftables(entries: &[Entry]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Entry {
        family,
        table,
        chain,
    } in entries
    {
        if chain.is_none() && table == TABLE {
            findings.push(
                Finding::warning(SUBJECT, format!("nftables table {family} {TABLE}"))
                    .remedy(REMEDY),
            );
        }
    }
    for (family, prefix) in [("ip", "iptables"), ("ip6", "ip6tables")] {
        let count = entries
            .iter()
            .filter(|entry| entry.family == family && entry.table == "nat")
            .filter(|entry| entry.chain.as_deref().is_some_and(is_of_kube_proxy))
            .count();
        if count > 0 {
            findings.push(leftover_chains(count, prefix, "nft"));
        }
    }
    findings
}

/// Legacy tables are no part of nftables. Which exist is written in proc; what is in them only the
/// `iptables` that made them can tell.
fn in_legacy_iptables(
    machine: &Machine,
    list: &str,
    command: &str,
    save: impl FnOnce(&str) -> io::Result<String>,
) -> Option<Finding> {
    let tables = match fs::read_to_string(machine.proc(list)) {
        Ok(tables) => tables,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            let found = format!("unknown: {}: {error}", machine.proc(list).display());
            return Some(Finding::note(SUBJECT, found));
        }
    };
    if !tables.lines().any(|table| table == "nat") {
        return None;
    }
    match save(command) {
        Ok(rules) => {
            let count = saved_chains(&rules)
                .filter(|chain| is_of_kube_proxy(chain))
                .count();
            (count > 0).then(|| leftover_chains(count, command, "legacy"))
        }
        Err(error) => Some(
            Finding::note(
                SUBJECT,
                format!("unknown: the legacy {command} nat table could not be read: {error}"),
            )
            .remedy(format!(
                "look for KUBE-SERVICES in the output of {command}-legacy-save -t nat"
            )),
        ),
    }
}

fn leftover_chains(count: usize, command: &str, variant: &str) -> Finding {
    Finding::warning(
        SUBJECT,
        format!("chains of kube-proxy in the nat table of {command} ({variant}): {count}"),
    )
    .remedy(REMEDY)
}

/// The chains that the output of `iptables-save` declares, as in `:KUBE-SERVICES - [0:0]`.
fn saved_chains(rules: &str) -> impl Iterator<Item = &str> {
    rules
        .lines()
        .filter_map(|line| line.strip_prefix(':')?.split_whitespace().next())
}

/// The nat table as the legacy variant of `command` prints it.
fn save(command: &str) -> io::Result<String> {
    let program = format!("{command}-legacy-save");
    let output = Command::new(&program)
        .args(["-t", "nat"])
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("{program}: {reason}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    fn entry(family: &'static str, table: &str, chain: Option<&str>) -> Entry {
        Entry {
            family,
            table: table.to_owned(),
            chain: chain.map(str::to_owned),
        }
    }

    #[test]
    fn each_table_of_the_nftables_mode_is_named_with_its_family() {
        let entries = [
            entry("ip", "kube-proxy", None),
            entry("ip", "kube-proxy", Some("services")),
            entry("ip6", "kube-proxy", None),
            entry("ip", "filter", None),
        ];

        let findings = in_nftables(&entries);

        let found: Vec<_> = findings
            .iter()
            .map(|finding| finding.found.as_str())
            .collect();
        assert_eq!(
            found,
            [
                "nftables table ip kube-proxy",
                "nftables table ip6 kube-proxy"
            ]
        );
    }

    #[test]
    fn the_kubelets_chains_are_not_kube_proxys() {
        let entries = [
            entry("ip", "nat", Some("KUBE-KUBELET-CANARY")),
            entry("ip", "nat", Some("KUBE-MARK-DROP")),
            entry("ip", "nat", Some("POSTROUTING")),
        ];

        assert_eq!(in_nftables(&entries), []);
    }

    #[test]
    fn chains_of_the_iptables_mode_are_counted_by_family() {
        let entries = [
            entry("ip", "nat", Some("KUBE-SERVICES")),
            entry("ip", "nat", Some("KUBE-SVC-ABCDEFGHIJKLMNOP")),
            entry("ip6", "nat", Some("KUBE-SERVICES")),
            entry("ip", "filter", Some("KUBE-SERVICES")),
        ];

        let findings = in_nftables(&entries);

        assert_eq!(findings.len(), 2);
        assert_eq!(
            findings[0].found,
            "chains of kube-proxy in the nat table of iptables (nft): 2"
        );
        assert_eq!(
            findings[1].found,
            "chains of kube-proxy in the nat table of ip6tables (nft): 1"
        );
    }

    /// What is made of a legacy nat table, or of the failure to print it.
    fn legacy(tables: &str, saved: io::Result<String>) -> Option<Finding> {
        let proc = tempfile::TempDir::new().unwrap();
        fs::write(proc.path().join("tables"), tables).unwrap();
        let machine = Machine::new(proc.path(), proc.path());
        in_legacy_iptables(&machine, "tables", "iptables", |_| saved)
    }

    #[test]
    fn a_legacy_table_tells_its_chains_by_a_colon() {
        let rules = "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n\
                     -A PREROUTING -j KUBE-SERVICES\nCOMMIT\n";

        let finding = legacy("nat\nfilter\n", Ok(rules.to_owned())).unwrap();

        assert_eq!(finding.level, Level::Warning);
        assert_eq!(
            finding.found,
            "chains of kube-proxy in the nat table of iptables (legacy): 1"
        );
    }

    #[test]
    fn a_legacy_table_that_cannot_be_printed_is_not_passed_as_clean() {
        let error = || io::Error::from(io::ErrorKind::NotFound);

        let finding = legacy("nat\n", Err(error())).unwrap();

        assert_eq!(finding.level, Level::Note);
        assert_eq!(legacy("filter\n", Err(error())), None);
    }
}
