//! What hangs on the devices that the datapath is attached to: our programs, and those of others
//! that run before or after them.

use std::path::Path;
use std::{fmt, fs};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::TcAttachType;
use aya::programs::{ProgramError, SchedClassifier};
use netproxy::check::{Finding, Level};
use netproxy::datapath::{DatapathError, Pins, View};
use netproxy_common::DeviceKind;
use nix::net::if_::if_indextoname;

use super::filters;

pub(super) const SUBJECT: &str = "devices";

/// A hook of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Ingress,
    Egress,
}

/// A program on a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Program {
    id: u32,
    name: String,
}

/// Looks at every device that the datapath knows.
pub(super) fn check(pins: &Pins) -> Vec<Finding> {
    let devices = match View::open(pins).and_then(|view| view.devices()) {
        Ok(devices) => devices,
        Err(DatapathError::Absent { path }) => {
            return vec![finding(
                Level::Note,
                format!(
                    "no datapath is pinned at {}: the agent has not run here yet",
                    path.display()
                ),
            )];
        }
        Err(error) => return vec![finding(Level::Problem, error.to_string())],
    };
    // Without any link, programs are clsact filters.
    let uses_tcx = fs::read_dir(pins.links()).is_ok_and(|mut links| links.next().is_some());
    let mut attached = Vec::new();
    let mut findings = Vec::new();
    for (ifindex, device) in devices {
        let Some(name) = name_of(ifindex) else {
            findings.push(finding(
                Level::Note,
                format!("number {ifindex} is gone, or in another network namespace"),
            ));
            continue;
        };
        let kind = match DeviceKind::from_u8(device.kind) {
            Some(DeviceKind::Pod) => "pod",
            Some(DeviceKind::Outside) | None => "outside",
        };
        attached.push(format!("{name} ({kind})"));
        for side in [Side::Ingress, Side::Egress] {
            let pin = pins.links().join(format!("{ifindex}-{side}"));
            if uses_tcx {
                findings.extend(look_at(&name, side, &pin));
            } else {
                // All of them run before filters do. A kernel without tcx has none.
                let programs = programs(&name, side).unwrap_or_default();
                let before = programs.iter().map(|program| before(&name, side, program));
                findings.extend(before);
            }
            findings.extend(look_at_filters(&name, ifindex, side, uses_tcx));
        }
    }
    let summary = if attached.is_empty() {
        finding(Level::Note, "none attached".to_owned())
    } else {
        let by = if uses_tcx { "tcx" } else { "clsact filters" };
        finding(
            Level::Ok,
            format!("attached by {by}: {}", attached.join(", ")),
        )
    };
    findings.insert(0, summary);
    findings
}

fn look_at(device: &str, side: Side, pin: &Path) -> Vec<Finding> {
    let ours = PinnedLink::from_pin(pin).and_then(|link| FdLink::from(link).info());
    let programs = match programs(device, side) {
        Ok(programs) => programs,
        Err(error) => {
            return vec![finding(
                Level::Note,
                format!("{device}: unknown what is attached at {side}: {error}"),
            )];
        }
    };
    judge(
        device,
        side,
        &programs,
        ours.ok().map(|link| link.program_id()),
    )
}

fn look_at_filters(device: &str, ifindex: u32, side: Side, uses_tcx: bool) -> Vec<Finding> {
    match filters::of(ifindex, side) {
        Ok(found) if uses_tcx => filters::judge_beside_tcx(device, side, &found)
            .into_iter()
            .collect(),
        Ok(found) => filters::judge_beside_ours(device, side, &found),
        Err(error) => vec![finding(
            Level::Note,
            format!("{device}: unknown what filters there are at {side}: {error}"),
        )],
    }
}

/// What follows from the programs of others on a hook. `programs` in the order in which they run.
fn judge(device: &str, side: Side, programs: &[Program], ours: Option<u32>) -> Vec<Finding> {
    let Some(place) = programs.iter().position(|program| Some(program.id) == ours) else {
        return vec![Finding {
            subject: SUBJECT,
            level: Level::Warning,
            found: format!("{device}: netproxy is no longer attached at {side}"),
            remedy: Some("restart the agent".to_owned()),
        }];
    };
    let before = programs[..place]
        .iter()
        .map(|program| before(device, side, program));
    let after = programs[place + 1..]
        .iter()
        .map(|program| after(device, side, program));
    before.chain(after).collect()
}

fn before(device: &str, side: Side, program: &Program) -> Finding {
    let (level, consequence) = match side {
        Side::Ingress => (
            Level::Warning,
            "what it keeps to itself never reaches a service",
        ),
        Side::Egress => (
            Level::Note,
            "answers on which it ends the chain (anything but TCX_NEXT) reach clients untranslated",
        ),
    };
    beside(device, side, program, ("before", level, consequence))
}

fn after(device: &str, side: Side, program: &Program) -> Finding {
    let (level, consequence) = match side {
        Side::Ingress => (Level::Note, "it sees endpoints, not services"),
        Side::Egress => (
            Level::Warning,
            "it sees answers as coming from the service, not from the endpoint",
        ),
    };
    beside(device, side, program, ("after", level, consequence))
}

fn beside(
    device: &str,
    side: Side,
    program: &Program,
    (order, level, consequence): (&str, Level, &str),
) -> Finding {
    let Program { id, name } = program;
    let found = format!(
        "{device}: the program {name} (id {id}) runs {order} netproxy at {side}: {consequence}"
    );
    Finding {
        // The agent puts its programs first at ingress and last at egress when it attaches them.
        remedy: (level == Level::Warning).then(|| {
            "if it must not: netproxy cleanup, and start the agent again, which attaches first at \
             ingress and last at egress"
                .to_owned()
        }),
        ..finding(level, found)
    }
}

fn programs(device: &str, side: Side) -> Result<Vec<Program>, ProgramError> {
    let hook = match side {
        Side::Ingress => TcAttachType::Ingress,
        Side::Egress => TcAttachType::Egress,
    };
    let (_, programs) = SchedClassifier::query_tcx(device, hook)?;
    Ok(programs
        .iter()
        .map(|info| Program {
            id: info.id(),
            name: info.name_as_str().unwrap_or("without a name").to_owned(),
        })
        .collect())
}

fn name_of(ifindex: u32) -> Option<String> {
    if_indextoname(ifindex).ok()?.into_string().ok()
}

pub(super) fn finding(level: Level, found: String) -> Finding {
    Finding {
        subject: SUBJECT,
        level,
        found,
        remedy: None,
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: u32 = 5;

    fn levels(side: Side, ids: &[u32]) -> Vec<Level> {
        let programs: Vec<_> = ids
            .iter()
            .map(|id| Program {
                id: *id,
                name: "cil_from_netdev".to_owned(),
            })
            .collect();
        judge("eth0", side, &programs, Some(OURS))
            .into_iter()
            .map(|finding| finding.level)
            .collect()
    }

    #[test]
    fn alone_on_a_hook_there_is_nothing_to_tell() {
        assert_eq!(levels(Side::Ingress, &[OURS]), []);
        assert_eq!(levels(Side::Egress, &[OURS]), []);
    }

    #[test]
    fn a_program_that_took_our_place_is_a_warning() {
        assert_eq!(
            levels(Side::Ingress, &[1, OURS, 9]),
            [Level::Warning, Level::Note]
        );
        assert_eq!(
            levels(Side::Egress, &[1, OURS, 9]),
            [Level::Note, Level::Warning]
        );
    }

    #[test]
    fn a_hook_without_our_program_is_a_warning() {
        assert_eq!(levels(Side::Ingress, &[]), [Level::Warning]);
        assert_eq!(levels(Side::Ingress, &[9]), [Level::Warning]);
    }
}
