//! What hangs on the sockets of a cgroup: our programs, and those of others at the same hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aya::programs::loaded_programs;
use netproxy::check::{Finding, Level, find_cgroup_root};
use netproxy::datapath::{CgroupTree, Pins, SocketHook, SocketProgram};

const SUBJECT: &str = "sockets";

/// Looks at every hook. `asked_for`: the cgroup that the agent is told; else it is to be the one that
/// is found.
pub(super) fn check(pins: &Pins, asked_for: Option<&Path>) -> Vec<Finding> {
    let hooks = match SocketHook::all(pins) {
        Ok(Some(hooks)) => hooks,
        Ok(None) => {
            return vec![finding(
                Level::Note,
                "not balanced: switched off, or the agent has not run here yet".to_owned(),
            )];
        }
        Err(error) => return vec![finding(Level::Problem, error.to_string())],
    };
    // Without a root nothing has a path, and ids are shown.
    let root = find_cgroup_root(Path::new("/proc")).ok().flatten();
    let root = root.map(|root| root.path);
    let wanted = asked_for.map(Path::to_owned).or_else(|| root.clone());
    let tree = CgroupTree::below(&root.or_else(|| wanted.clone()).unwrap_or_default());
    let path_of = |id| tree.path(id).map(Path::to_owned);
    let mut findings = judge(&hooks, wanted.as_deref(), path_of);
    let others: Vec<_> = hooks.iter().flat_map(|hook| tree.others(hook)).collect();
    findings.extend(tell_of(&others, name_of));
    findings
}

/// What follows from where our links are.
fn judge(
    hooks: &[SocketHook],
    wanted: Option<&Path>,
    path_of: impl Fn(u64) -> Option<PathBuf>,
) -> Vec<Finding> {
    let mut attached: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    let (mut missing, mut left_over) = (Vec::new(), Vec::new());
    for SocketHook { name, link } in hooks {
        match link.map(|link| link.cgroup) {
            None => missing.push(*name),
            Some(None) => left_over.push(*name),
            Some(Some(cgroup)) => attached.entry(cgroup).or_default().push(name),
        }
    }
    let mut findings = Vec::new();
    for (cgroup, names) in attached {
        let path = path_of(cgroup);
        let shown = path.as_ref().map_or_else(
            || format!("the cgroup with the id {cgroup}, which cannot be found"),
            |path| path.display().to_string(),
        );
        let names = listed(&names, hooks.len());
        match wanted {
            Some(wanted) if path.as_deref() != Some(wanted) => findings.push(warning(
                format!(
                    "{names} attached to {shown}; it would be {} now",
                    wanted.display()
                ),
                "restart the agent, or tell `netproxy check` the --cgroup that the agent is told",
            )),
            _ => findings.push(finding(Level::Ok, format!("{names} attached to {shown}"))),
        }
    }
    for (names, state) in [
        (missing, "not attached"),
        (left_over, "attached to a cgroup that has been removed"),
    ] {
        if !names.is_empty() {
            let names = listed(&names, hooks.len());
            findings.push(warning(
                format!("{names} {state}: processes are served by packet, if at all"),
                "restart the agent",
            ));
        }
    }
    findings
}

/// `connect4, sendmsg4`, or how many they are if they are all.
fn listed(names: &[&str], all: usize) -> String {
    if names.len() == all {
        return format!("all {all} programs");
    }
    names.join(", ")
}

/// One note for each program of others.
fn tell_of(others: &[SocketProgram], name_of: impl Fn(u32) -> Option<String>) -> Vec<Finding> {
    let mut places: BTreeMap<u32, (BTreeSet<&str>, BTreeSet<String>)> = BTreeMap::new();
    for SocketProgram { id, hook, cgroup } in others {
        let (hooks, cgroups) = places.entry(*id).or_default();
        hooks.insert(hook);
        cgroups.insert(cgroup.as_ref().map_or_else(
            || "a cgroup above".to_owned(),
            |path| path.display().to_string(),
        ));
    }
    places
        .into_iter()
        .map(|(id, (hooks, cgroups))| {
            let name = name_of(id).unwrap_or_else(|| "without a name".to_owned());
            let hooks = Vec::from_iter(hooks).join(", ");
            let cgroups = Vec::from_iter(cgroups).join(", ");
            finding(
                Level::Note,
                format!(
                    "the program {name} (id {id}) is at {hooks}, too, in {cgroups}: it may refuse calls \
                     to services, or send them elsewhere"
                ),
            )
        })
        .collect()
}

fn name_of(id: u32) -> Option<String> {
    loaded_programs()
        .flatten()
        .find(|info| info.id() == id)
        .and_then(|info| info.name_as_str().map(str::to_owned))
}

fn finding(level: Level, found: String) -> Finding {
    Finding {
        subject: SUBJECT,
        level,
        found,
        remedy: None,
    }
}

fn warning(found: String, remedy: &str) -> Finding {
    Finding {
        remedy: Some(remedy.to_owned()),
        ..finding(Level::Warning, found)
    }
}

#[cfg(test)]
mod tests {
    use netproxy::datapath::SocketLink;

    use super::*;

    const ROOT: &str = "/sys/fs/cgroup";

    fn hook(name: &'static str, cgroup: Option<u64>) -> SocketHook {
        SocketHook {
            name,
            link: Some(SocketLink {
                id: 1,
                program: 2,
                cgroup,
                attach_type: 10,
            }),
        }
    }

    fn judged(hooks: &[SocketHook]) -> Vec<Finding> {
        judge(hooks, Some(Path::new(ROOT)), |id| match id {
            1 => Some(ROOT.into()),
            7 => Some("/sys/fs/cgroup/kubepods".into()),
            _ => None,
        })
    }

    #[test]
    fn everything_at_the_right_cgroup_is_one_ok() {
        let findings = judged(&[hook("connect4", Some(1)), hook("connect6", Some(1))]);

        assert_eq!(
            findings,
            [finding(
                Level::Ok,
                "all 2 programs attached to /sys/fs/cgroup".to_owned()
            )]
        );
    }

    #[test]
    fn another_cgroup_is_a_warning_whether_it_has_a_path_or_not() {
        for (cgroup, shown) in [(7, "/sys/fs/cgroup/kubepods"), (9, "the id 9")] {
            let findings = judged(&[hook("connect4", Some(cgroup))]);

            assert_eq!(findings.len(), 1);
            assert_eq!(findings[0].level, Level::Warning);
            assert!(findings[0].found.contains(shown), "{findings:?}");
        }
    }

    #[test]
    fn what_is_missing_and_what_serves_nobody_is_named() {
        let missing = SocketHook {
            name: "sendmsg4",
            link: None,
        };

        let findings = judged(&[hook("connect4", Some(1)), missing, hook("recvmsg4", None)]);

        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.level, finding.found.split(' ').next().unwrap_or("")))
            .collect();
        assert_eq!(
            found,
            [
                (Level::Ok, "connect4"),
                (Level::Warning, "sendmsg4"),
                (Level::Warning, "recvmsg4")
            ]
        );
    }

    #[test]
    fn a_program_of_others_is_told_once_with_all_its_places() {
        let other = |hook| SocketProgram {
            id: 3,
            hook,
            cgroup: Some(ROOT.into()),
        };

        let findings = tell_of(&[other("connect4"), other("sendmsg4")], |_| {
            Some("cil_sock4".to_owned())
        });

        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].found.starts_with(
                "the program cil_sock4 (id 3) is at connect4, sendmsg4, too, in /sys/fs/cgroup:"
            ),
            "{findings:?}"
        );
    }
}
