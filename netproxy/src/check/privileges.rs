//! What this process may do.

use std::fs::File;
use std::io::BufReader;

use caps::Capability;
use procfs_core::FromBufRead as _;
use procfs_core::process::Status;

use super::Finding;
use super::machine::Machine;

const SUBJECT: &str = "privileges";

/// Loading programs, attaching them, and reading packets through pointers.
const NEEDED: [Capability; 3] = [
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_NET_ADMIN,
];

/// Includes what `CAP_BPF` and `CAP_PERFMON` were later split off for.
const ALMIGHTY: Capability = Capability::CAP_SYS_ADMIN;

/// Finding the network namespaces of pods and entering them, to end UDP sockets whose endpoint is gone.
const USEFUL: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SYS_PTRACE];

pub(super) fn check(machine: &Machine) -> Finding {
    let path = machine.proc("self/status");
    let status = File::open(&path)
        .map_err(|error| error.to_string())
        .and_then(|file| {
            Status::from_buf_read(BufReader::new(file)).map_err(|error| error.to_string())
        });
    match status {
        Ok(status) => judge(status.capeff),
        Err(error) => Finding::note(SUBJECT, format!("unknown: {}: {error}", path.display())),
    }
}

fn judge(effective: u64) -> Finding {
    let has = |capability: Capability| effective & capability.bitmask() != 0;
    let is_granted = |capability: Capability| {
        has(capability) || (has(ALMIGHTY) && capability != Capability::CAP_NET_ADMIN)
    };
    let missing = names(NEEDED.into_iter().filter(|needed| !is_granted(*needed)));
    if !missing.is_empty() {
        return Finding::problem(
            SUBJECT,
            format!("{missing} missing: nothing can be attached"),
        )
        .remedy(format!(
            "run as root, or add {missing} to the container's capabilities"
        ));
    }
    let missing = names(USEFUL.into_iter().filter(|useful| !has(*useful)));
    if !missing.is_empty() {
        return Finding::warning(
            SUBJECT,
            format!(
                "{missing} missing: connected UDP sockets cannot be ended when their endpoint goes, \
                 and are balanced packet by packet"
            ),
        )
        .remedy(format!("add {missing} to the container's capabilities"));
    }
    Finding::ok(SUBJECT, "everything needed is granted")
}

fn names(capabilities: impl Iterator<Item = Capability>) -> String {
    let names: Vec<_> = capabilities
        .map(|capability| capability.to_string())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    fn level_with(capabilities: &[Capability]) -> Level {
        judge(capabilities.iter().map(Capability::bitmask).sum()).level
    }

    #[test]
    fn every_needed_capability_is_needed() {
        assert_eq!(level_with(&[]), Level::Problem);
        assert_eq!(
            level_with(&[Capability::CAP_BPF, Capability::CAP_NET_ADMIN]),
            Level::Problem
        );
        assert_eq!(level_with(&NEEDED), Level::Warning);
    }

    #[test]
    fn sys_admin_stands_for_what_was_split_off_it_but_not_for_net_admin() {
        let ptrace = Capability::CAP_SYS_PTRACE;
        assert_eq!(level_with(&[ALMIGHTY, ptrace]), Level::Problem);
        assert_eq!(
            level_with(&[ALMIGHTY, ptrace, Capability::CAP_NET_ADMIN]),
            Level::Ok
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let finding = judge(Capability::CAP_BPF.bitmask());

        assert!(
            finding.found.contains("CAP_PERFMON, CAP_NET_ADMIN"),
            "{finding:?}"
        );
    }
}
