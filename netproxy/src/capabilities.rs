//! What a process may do that others may not: given up where it is not needed. Capabilities are a thread's own:
//! threads that are there already keep theirs.

use caps::errors::CapsError;
use caps::{CapSet, Capability};

/// What the agent needs while it runs: making maps and loading programs, attaching them and reading netfilter's
/// tables, pointers in programs; and listening where the operator chooses.
const OF_AGENT: [Capability; 4] = [
    Capability::CAP_BPF,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
    Capability::CAP_NET_BIND_SERVICE,
];

/// What the process that ends sockets needs besides.
const OF_TERMINATOR: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SYS_PTRACE];

/// Gives up what the agent does not need, before it starts any thread. What it only hands on, where
/// it `ends_sockets`, is not in effect for itself. (Were it gone, a container without privilege escalation could
/// not start that process again: `cap_bprm_creds_from_file`.)
///
/// # Errors
/// The kernel refuses to tell or to take them.
pub fn keep_those_of_agent(ends_sockets: bool) -> Result<(), CapsError> {
    let granted = caps::read(None, CapSet::Permitted)?;
    let mut own = OF_AGENT.to_vec();
    // Where it stands for those that were split off it.
    if ![Capability::CAP_BPF, Capability::CAP_PERFMON]
        .iter()
        .all(|needed| granted.contains(needed))
    {
        own.push(Capability::CAP_SYS_ADMIN);
    }
    let handed_on = OF_TERMINATOR.iter().filter(|_| ends_sockets);
    let permitted: Vec<_> = own.iter().chain(handed_on).copied().collect();
    keep_only(&permitted)?;
    let effective = granted.into_iter().filter(|it| own.contains(it)).collect();
    caps::set(None, CapSet::Effective, &effective)
}

/// Gives up all but these, of those that were granted.
///
/// # Errors
/// The kernel refuses to tell or to take them.
pub(crate) fn keep_only(needed: &[Capability]) -> Result<(), CapsError> {
    let granted = caps::read(None, CapSet::Permitted)?;
    let kept = granted
        .into_iter()
        .filter(|capability| needed.contains(capability))
        .collect();
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}
