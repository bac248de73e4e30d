//! What is said of a failing case, and left of it under `target/differential/`: the case itself, its
//! objects step by step as manifests, and how to run it again.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    case::{Case, Family, Server},
    divergence::{Divergence, Tally},
    manifest::Addresses,
    objects::Group,
    slot::Slot,
};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/differential");
const CASE: &str = "case.json";
/// Differences of one case that are spelled out.
const MOST: usize = 12;

/// Where the servers are in every lab, so that manifests can be written without one.
struct Documented;

impl Addresses for Documented {
    fn of(&self, server: Server, family: Family) -> IpAddr {
        let node = if server.node().name() == "a" { 1 } else { 2 };
        let pod = match server {
            Server::A1 | Server::B1 => 2,
            Server::A2 | Server::B2 => 3,
            Server::HostA | Server::HostB => 0,
        };
        match (family, server.is_host()) {
            (Family::V4, true) => Ipv4Addr::new(172, 31, 0, 10 + node).into(),
            (Family::V4, false) => Ipv4Addr::new(10, 244, node, pod).into(),
            (Family::V6, true) => {
                Ipv6Addr::new(0xfd31, 0, 0, 0, 0, 0, 0, 0x10 + u16::from(node)).into()
            }
            (Family::V6, false) => {
                let (node, pod) = (u16::from(node), u16::from(pod));
                Ipv6Addr::new(0xfd10, 0x244, node, 0, 0, 0, 0, pod).into()
            }
        }
    }
}

/// Writes the directory of a failing case and answers with its path.
pub(crate) fn save(case: &Case, divergences: &[Divergence]) -> Result<PathBuf> {
    let directory = Path::new(DIRECTORY).join(&case.name);
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("{} cannot be removed", directory.display()))?;
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("{} cannot be made", directory.display()))?;
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    write(CASE, &serde_json::to_string_pretty(case)?)?;
    for (step, state) in case.steps.iter().enumerate() {
        let mut documents = String::new();
        for (number, service) in (1..).zip(state) {
            for manifest in Group::of(service, Slot::of(number), &Documented).manifests() {
                // JSON is YAML.
                write!(documents, "---\n{manifest:#}\n")?;
            }
        }
        write(&format!("step-{step}.yaml"), &documents)?;
    }
    write("README.md", &readme(case, divergences))?;
    Ok(directory)
}

fn readme(case: &Case, divergences: &[Divergence]) -> String {
    format!(
        "# Case {name}\n\n\
         kube-proxy and netproxy do not do the same with the objects of `step-0.yaml` and what they \
         become in the further steps.\n\
         To run it again: `cargo xtask test differential --replay target/differential/{name}`\n\n{}",
        describe(divergences),
        name = case.name,
    )
}

/// The case of a directory that [`save`] has written.
pub(crate) fn load(directory: &Path) -> Result<Case> {
    let path = directory.join(CASE);
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "{} cannot be read: it is written for a case that fails",
            path.display()
        )
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a case", path.display()))
}

/// What differs, in sentences.
pub(crate) fn describe(divergences: &[Divergence]) -> String {
    let mut text = String::new();
    for it in divergences.iter().take(MOST) {
        let flow = if it.question.is_kept {
            ", a flow from before the step"
        } else {
            ""
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "- step {}: {:?} from {:?} to {:?} {}{flow}\n  - kube-proxy: {}\n  - netproxy: {}",
            it.step,
            it.question.means,
            it.question.vantage,
            it.target.destination,
            it.target.address,
            it.kube,
            it.netproxy
        );
    }
    if divergences.len() > MOST {
        let _ = writeln!(text, "- and {} more", divergences.len() - MOST);
    }
    text
}

/// What was seen in all cases.
pub(crate) fn summarize(tally: &Tally) -> String {
    let mut text = format!(
        "{} frontends compared, {} of them asked again\n",
        tally.asked, tally.asked_again
    );
    for (difference, count) in &tally.deliberate {
        let _ = writeln!(text, "{count:>8} × {difference:?}: {}", difference.reason());
    }
    text
}

#[cfg(test)]
mod tests;
