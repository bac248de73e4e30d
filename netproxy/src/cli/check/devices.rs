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

const SUBJECT: &str = "devices";

/// A hook of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
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
    // Without any link, programs are clsact filters, which are not in the lists that we look at.
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
        if uses_tcx {
            for side in [Side::Ingress, Side::Egress] {
                let pin = pins.links().join(format!("{ifindex}-{side}"));
                findings.extend(look_at(&name, side, &pin));
            }
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
    let before = programs[..place].iter().map(|program| {
        let (level, consequence) = match side {
            Side::Ingress => (
                Level::Warning,
                "what it keeps to itself never reaches a service",
            ),
            Side::Egress => (
                Level::Note,
                "answers on which it ends the chain (anything but TCX_NEXT) reach clients \
                 untranslated",
            ),
        };
        (program, level, "before", consequence)
    });
    let after = programs[place + 1..].iter().map(|program| {
        let (level, consequence) = match side {
            Side::Ingress => (Level::Note, "it sees endpoints, not services"),
            Side::Egress => (
                Level::Warning,
                "it sees answers as coming from the service, not from the endpoint",
            ),
        };
        (program, level, "after", consequence)
    });
    before
        .chain(after)
        .map(|(program, level, order, consequence)| {
            let Program { id, name } = program;
            finding(
                level,
                format!(
                    "{device}: the program {name} (id {id}) runs {order} netproxy at {side}: \
                     {consequence}"
                ),
            )
        })
        .collect()
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

fn finding(level: Level, found: String) -> Finding {
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
