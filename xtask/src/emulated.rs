//! `cargo xtask emulate`: a command on Linux 6.1, in an emulated machine that sees the files of this one
//! as they are. What it writes is gone when it ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::kernel::{self, Kernel};
use crate::workspace::Workspace;

/// Before and after what the command prints: the firmware and the kernel talk, too.
const BEGIN: &str = "netproxy: the command begins";
const END: &str = "netproxy: the command ended with ";

/// Enough for the programs' maps of two agents at once.
const MEMORY: &str = "6144";

/// What the emulated machine does once it sees the files. Modules are those that a node would load by
/// itself when somebody asks for a device or a rule.
const SCRIPT: &str = include_str!("emulated/run.sh");

/// Runs the command, and prints what it prints.
pub(crate) fn run(workspace: &Workspace, words: &[String]) -> Result<ExitCode> {
    let kernel = kernel::provide(workspace)?;
    let folder = workspace.target().join("emulated");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // By the process's number: several may run at once.
    let script = folder.join(format!("run-{}.sh", std::process::id()));
    let root = workspace.root().display().to_string();
    let text = SCRIPT
        .replace("@ROOT@", &quoted(&root))
        .replace("@BEGIN@", BEGIN)
        .replace("@END@", END)
        .replace(
            "@COMMAND@",
            &words
                .iter()
                .map(|word| quoted(word))
                .collect::<Vec<_>>()
                .join(" "),
        );
    fs::write(&script, text).with_context(|| format!("cannot write {}", script.display()))?;
    let outcome = boot(&kernel, &script);
    let _ = fs::remove_file(&script);
    outcome
}

fn boot(kernel: &Kernel, script: &Path) -> Result<ExitCode> {
    let mut machine = command(kernel, script)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("qemu-system-x86_64 cannot be started (Debian's package: qemu-system-x86)")?;
    let output = machine.stdout.take().context("qemu has no output")?;
    let (mut has_begun, mut code) = (false, None);
    let mut before = Vec::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what the emulated machine prints")?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if let Some((_, number)) = line.split_once(END) {
            code = number.trim().parse::<u8>().ok();
            break;
        }
        if has_begun {
            println!("{line}");
        } else {
            has_begun = line.contains(BEGIN);
            before.push(line.to_owned());
        }
    }
    // It has nothing to lose, and may take a while to switch itself off.
    let _ = machine.kill();
    machine.wait().context("cannot wait for qemu")?;
    match code {
        Some(code) => Ok(ExitCode::from(code)),
        None if has_begun => bail!("the emulated machine stopped before the command ended"),
        None => bail!(
            "the emulated machine did not come up; it said:\n{}",
            before.join("\n")
        ),
    }
}

/// Emulated in software: hardware acceleration is not to be had in most machines that are themselves
/// virtual.
fn command(kernel: &Kernel, script: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            MEMORY,
        ])
        .args(["-nographic", "-no-reboot", "-nic", "none"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&kernel.ram_disk)
        .arg("-append")
        .arg(format!(
            "console=ttyS0 quiet panic=-1 netproxy.command={}",
            script.display()
        ))
        .arg("-virtfs")
        .arg("local,path=/,mount_tag=machine,security_model=none,readonly=on,multidevs=remap");
    command
}

/// A word as the shell takes it literally.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_shell_as_they_are() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
