//! Programs that read their orders from standard input: `ip`, `bridge` and `nft`. One process does
//! what would else take dozens.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

/// Runs the lines as `ip` or `bridge` commands, without that word. The first that fails ends it.
///
/// # Errors
/// With the line that failed and what the program says about it.
pub(crate) fn ip(mut command: Command, lines: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = feed(
        command.args(["-batch", "-"]),
        lines,
        "apt-get install iproute2",
    )?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    // "Command failed -:7"
    let failed = complaint
        .rsplit_once("-:")
        .and_then(|(_, number)| number.trim().parse::<usize>().ok())
        .and_then(|number| lines.lines().nth(number.checked_sub(1)?))
        .unwrap_or(lines);
    bail!("`{program} {}` failed: {}", failed.trim(), complaint.trim())
}

/// Loads a ruleset, whole or not at all.
///
/// # Errors
/// With what nft says about it.
pub(crate) fn nft(mut command: Command, ruleset: &str) -> Result<()> {
    let output = feed(
        command.args(["-f", "-"]),
        ruleset,
        "apt-get install nftables",
    )?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "nft refuses the rules: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )
}

fn feed(command: &mut Command, text: &str, remedy: &str) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} cannot be started; install it: {remedy}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that gives up early closes its end; its own words say more than our EPIPE.
        let _ = stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.write_all(b"\n"));
    }
    child
        .wait_with_output()
        .with_context(|| format!("wait for {program}"))
}
