//! The differential tier's options, handed on to its binary as they are.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use super::Tier;
use crate::workspace::Workspace;

/// The tier's binary, which owns what the user sees of it.
const BINARY: &str = "netproxy-differential";

/// Options of the tier `differential`.
#[derive(Debug, Default, Args)]
pub(crate) struct Differential {
    /// differential: how many cases of each seed, instead of 100
    #[arg(long)]
    cases: Option<u64>,
    /// differential: the seed of the cases, instead of one that is always the same and a fresh one
    #[arg(long)]
    seed: Option<u64>,
    /// differential: which cases are balanced at the socket (off, on, both), instead of every third
    #[arg(long, value_name = "WHICH")]
    sockets: Option<String>,
    /// differential: run the case of this directory, which a failure has left
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cases", "seed", "sockets"])]
    replay: Option<PathBuf>,
}

impl Differential {
    /// An error if there are options and another tier.
    pub(super) fn check(&self, only: Option<Tier>) -> Result<()> {
        ensure!(
            only == Some(Tier::Differential) || self.words().is_empty(),
            "--cases, --seed, --sockets and --replay are of the tier differential only: \
             cargo xtask test differential {}",
            self.words().join(" ")
        );
        Ok(())
    }

    /// The binary with these options; it must have been built.
    pub(super) fn command(&self, workspace: &Workspace) -> Command {
        let mut command = Command::new(workspace.release_binary(BINARY));
        command.current_dir(workspace.root()).args(self.words());
        command
    }

    fn words(&self) -> Vec<String> {
        let Self {
            cases,
            seed,
            sockets,
            replay,
        } = self;
        let options = [
            ("--cases", cases.map(|it| it.to_string())),
            ("--seed", seed.map(|it| it.to_string())),
            ("--sockets", sockets.clone()),
            (
                "--replay",
                replay.as_ref().map(|it| it.display().to_string()),
            ),
        ];
        let given = options
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        given.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_of_the_differential_tier_only() {
        let options = Differential {
            seed: Some(7),
            ..Differential::default()
        };

        assert!(options.check(Some(Tier::Differential)).is_ok());
        assert!(options.check(Some(Tier::Lab)).is_err());
        let error = options.check(None).unwrap_err().to_string();
        assert!(
            error.ends_with("cargo xtask test differential --seed 7"),
            "{error}"
        );
    }

    #[test]
    fn a_run_without_options_needs_none() {
        assert!(Differential::default().check(None).is_ok());
    }
}
