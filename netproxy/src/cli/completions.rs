//! `netproxy completions`, `netproxy man`: what shells and `man` want to know of the command line.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use super::table::Listing;

const NAME: &str = "netproxy";

const EXAMPLES: &str = "\
Examples:
  netproxy completions bash >/etc/bash_completion.d/netproxy
  netproxy completions zsh >\"${fpath[1]}/_netproxy\"
  netproxy completions fish >~/.config/fish/completions/netproxy.fish";

/// For which shell.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(&self, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), NAME, &mut script);
        list.raw(&script)
    }
}

/// Where to.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The directory that the pages are written into, such as /usr/local/share/man/man1; it is made
    /// where there is none
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl ManArgs {
    pub(super) fn run(&self, list: &mut Listing<'_>) -> anyhow::Result<()> {
        let directory = self.directory.display();
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("directory {directory}: cannot be made"))?;
        // Pages are called after what a version is told of, which for the agent is netproxy itself.
        let commands = Cli::command().mut_subcommand("run", |run| run.display_name("netproxy-run"));
        clap_mangen::generate_to(commands, &self.directory)
            .with_context(|| format!("directory {directory}: the pages cannot be written"))?;
        list.line(&format!(
            "netproxy.1 and a page for each command are in {directory}"
        ))
    }
}
