//! A trial of the image: its binary started with nothing but the archive's files for a root, which
//! cannot be written to, as in a container.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;

use super::contents::PROGRAM;

/// Run in a mount namespace of its own, with the root and then the program's words.
const START: &str = r#"
set -e
root=$1; shift
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"#;

/// Starts the binary twice: it must tell its version, and look at this machine.
pub(super) fn start(archive: &Path) -> Result<()> {
    let root = tempfile::tempdir().context("no directory for the image's files")?;
    unpack(archive, root.path())
        .with_context(|| format!("cannot read the image {}", archive.display()))?;
    let version = run(root.path(), "--version")?;
    let wanted = concat!("netproxy ", env!("CARGO_PKG_VERSION"));
    ensure!(
        version.trim() == wanted,
        "the binary in the image says `{version}` instead of `{wanted}`"
    );
    // It ends with 1 where the machine has a problem, which is not the image's.
    let check = run(root.path(), "check")?;
    ensure!(
        check.contains("problem") && check.contains("kernel"),
        "`netproxy check` says in the image: {check}"
    );
    Ok(())
}

/// What `netproxy WORD` prints in the image.
fn run(root: &Path, word: &str) -> Result<String> {
    let output = Command::new("unshare")
        .args(["--mount", "--propagation=private", "sh", "-c", START, "sh"])
        .arg(root)
        .arg(format!("/{PROGRAM}"))
        .arg(word)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .context("unshare cannot be run: apt-get install util-linux")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code().is_some_and(|code| code < 2) && errors.is_empty(),
        "`netproxy {word}` does not start in the image ({}; it takes root): {errors}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Unpacks the one layer of the archive.
fn unpack(archive: &Path, root: &Path) -> Result<()> {
    let list = member(archive, "manifest.json")?;
    let list: Value = serde_json::from_slice(&list)?;
    let layer = list[0]["Layers"][0].as_str().context("it has no layer")?;
    let layer = member(archive, layer)?;
    let mut files = tar::Archive::new(GzDecoder::new(layer.as_slice()));
    files.unpack(root).context("its layer cannot be unpacked")
}

/// One file of the archive.
fn member(archive: &Path, path: &str) -> Result<Vec<u8>> {
    let mut archive = tar::Archive::new(BufReader::new(File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if &*entry.path_bytes() == path.as_bytes() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    anyhow::bail!("{path} is not in it")
}
