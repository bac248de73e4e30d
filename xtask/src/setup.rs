//! `cargo xtask setup`: gives the machine what it lacks, and touches nothing where nothing is
//! lacking. Packages are installed on Debian and its descendants; elsewhere, the list of what to
//! install is the answer.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Result, bail};
use nix::unistd::Uid;

use crate::command::{Step, ask};
use crate::distribution::Distribution;
use crate::linker;
use crate::need::{self, Need};
use crate::workspace::Workspace;

/// Sets up everything that builds, lab and tests need, but not the control-plane components.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    provide(workspace, need::BUILD_AND_LAB)?;
    linker::install(workspace)
}

/// Installs what of `needs` is missing, or says what to install.
pub(crate) fn provide(workspace: &Workspace, needs: &'static [Need]) -> Result<()> {
    let missing = unmet(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let distribution = debian(&missing)?;
    let packages = packages(&missing);
    if !Uid::effective().is_root() {
        bail!(
            "installing packages needs root. Run this as root, then the same command again:\n    \
             apt-get update && apt-get install -y {}",
            packages.join(" ")
        );
    }
    look_up(workspace, &distribution, &packages, &missing)?;
    install(workspace, &packages)?;
    let still = unmet(needs);
    if !still.is_empty() {
        bail!(
            "the packages {} are installed, but this is still not found:\n{}",
            packages.join(", "),
            by_hand(&still)
        );
    }
    Ok(())
}

/// Sees that the packages that bring `needs` can be had, without installing them.
pub(crate) fn find_packages(workspace: &Workspace, needs: &'static [Need]) -> Result<()> {
    let needs: Vec<_> = needs.iter().collect();
    let distribution = debian(&needs)?;
    look_up(workspace, &distribution, &packages(&needs), &needs)
}

/// The distribution, if packages can be had here.
fn debian(missing: &[&Need]) -> Result<Distribution> {
    let distribution = Distribution::detect();
    if !distribution.is_debian() || !need::has_command("apt-get") {
        bail!(
            "`cargo xtask` cannot install packages on {}.\n{}",
            distribution.name,
            by_hand(missing)
        );
    }
    Ok(distribution)
}

fn look_up(
    workspace: &Workspace,
    distribution: &Distribution,
    packages: &[&str],
    missing: &[&Need],
) -> Result<()> {
    let mut update = apt_get();
    update.arg("update");
    Step::new(
        "Updating the list of packages",
        workspace.log("apt-update")?,
        update,
    )
    .run()?;

    let unknown: Vec<_> = packages
        .iter()
        .copied()
        .filter(|package| !is_available(package))
        .collect();
    if !unknown.is_empty() {
        bail!(
            "{} has no package {} (Debian 12 with its security updates has all of them).\n{}",
            distribution.name,
            unknown.join(", "),
            by_hand(missing)
        );
    }
    Ok(())
}

fn install(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let mut install = apt_get();
    install
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages);
    Step::new(
        format!("Installing {}", packages.join(" ")),
        workspace.log("apt-install")?,
        install,
    )
    .run()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Wait for another apt-get instead of failing beside it.
        .args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}

fn is_available(package: &str) -> bool {
    ask(Command::new("apt-cache").args(["show", "--no-all-versions", package]))
        .is_some_and(|description| !description.is_empty())
}

fn unmet(needs: &'static [Need]) -> Vec<&'static Need> {
    needs.iter().filter(|need| !need.is_met()).collect()
}

fn packages(needs: &[&Need]) -> Vec<&'static str> {
    needs
        .iter()
        .flat_map(|need| need.packages)
        .copied()
        .collect()
}

/// What to install where nothing can be installed for the user.
fn by_hand(needs: &[&Need]) -> String {
    let mut text = String::from("Install these, then run the same command again:\n");
    for need in needs {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  - {} (Debian's packages: {})",
            need.purpose,
            need.packages.join(" ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_installed_by_hand_is_listed_with_purpose_and_packages() {
        let needs: Vec<_> = need::BUILD_AND_LAB.iter().collect();

        let text = by_hand(&needs);

        for need in needs {
            assert!(text.contains(need.purpose), "{text}");
            assert!(text.contains(&need.packages.join(" ")), "{text}");
        }
    }

    #[test]
    fn a_need_brings_all_its_packages() {
        let rust: Vec<_> = need::BUILD_AND_LAB
            .iter()
            .filter(|need| need.packages.contains(&"rustc-web"))
            .collect();

        assert_eq!(packages(&rust), ["rustc-web", "cargo-web", "rust-web-src"]);
    }
}
