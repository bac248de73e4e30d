//! The oldest kernel that netproxy runs on, Linux 6.1, from Debian's package: the image, and an initial
//! RAM disk that makes the files of this machine those of the emulated one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::command::{Step, ask};
use crate::need;
use crate::setup;
use crate::stamp::Stamp;
use crate::workspace::Workspace;

/// What the RAM disk's first process needs before it sees this machine's files.
const MODULES: [&str; 4] = ["9p", "9pnet_virtio", "virtio_pci", "overlay"];

/// The RAM disk's first process. This machine's files are shown read-only, with memory above them: what
/// is written there is gone with the emulated machine.
const INIT: &str = include_str!("kernel/init.sh");

/// A kernel that can be booted.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Its image.
    pub(crate) image: PathBuf,
    /// Its initial RAM disk.
    pub(crate) ram_disk: PathBuf,
}

/// Fetches the kernel where it is missing or another one is offered by now.
pub(crate) fn provide(workspace: &Workspace) -> Result<Kernel> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "Linux 6.1 is emulated for x86-64 machines only, so far"
    );
    setup::provide(workspace, need::EMULATION)?;
    let package = newest()?;
    let release = package
        .strip_prefix("linux-image-")
        .unwrap_or(&package)
        .to_owned();
    let home = workspace.tools().join("kernel");
    let kernel = Kernel {
        image: home.join("root/boot").join(format!("vmlinuz-{release}")),
        ram_disk: home.join("ram-disk"),
    };
    let stamp = Stamp::new(
        home.join("stamp"),
        format!("{package}\n{MODULES:?}\n{INIT}"),
    );
    if stamp.is_fresh([&kernel.image, &kernel.ram_disk]) {
        return Ok(kernel);
    }
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    fetch(workspace, &package, &home)?;
    let files = home.join("ram-disk.d");
    lay_out(&home, &release, &files)?;
    pack(workspace, &files, &kernel.ram_disk)?;
    stamp.write()?;
    Ok(kernel)
}

/// Debian's newest package of a 6.1 kernel.
fn newest() -> Result<String> {
    let listed = ask(Command::new("apt-cache").args([
        "search",
        "--names-only",
        r"^linux-image-6\.1\.0-[0-9]+-amd64$",
    ]));
    let packages = listed.unwrap_or_default();
    packages
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .max_by_key(|name| {
            let number = name
                .split('-')
                .nth(3)
                .and_then(|text| text.parse::<u32>().ok());
            number.unwrap_or_default()
        })
        .map(str::to_owned)
        .context("no package of Linux 6.1 is known: it is one of Debian 12 (apt-get update)")
}

fn fetch(workspace: &Workspace, package: &str, home: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    download
        // The user that apt downloads as may not write here.
        .args(["-o", "APT::Sandbox::User=root", "download", package])
        .current_dir(home);
    Step::new(
        format!("Fetching {package}"),
        workspace.log("kernel-fetch")?,
        download,
    )
    .run()?;
    let archive = fs::read_dir(home)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|it| it == "deb"))
        .with_context(|| format!("apt-get left no package in {}", home.display()))?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&archive).arg(home.join("root"));
    Step::new(
        format!("Unpacking {package}"),
        workspace.log("kernel-unpack")?,
        unpack,
    )
    .run()?;
    fs::remove_file(&archive)?;
    Ok(())
}

/// The RAM disk's files: busybox, the modules in the order in which they load, and `init`.
fn lay_out(home: &Path, release: &str, files: &Path) -> Result<()> {
    for folder in [
        "bin", "modules", "proc", "sys", "dev", "machine", "memory", "root",
    ] {
        fs::create_dir_all(files.join(folder))?;
    }
    fs::copy("/bin/busybox", files.join("bin/busybox"))
        .context("cannot copy /bin/busybox (Debian's package: busybox-static)")?;
    let root = home.join("root");
    let depmod = Command::new("/sbin/depmod")
        .arg("-b")
        .arg(&root)
        .arg(release)
        .status();
    ensure!(
        depmod.is_ok_and(|status| status.success()),
        "depmod fails for {} (Debian's package: kmod)",
        root.display()
    );
    let mut modules: Vec<PathBuf> = Vec::new();
    for name in MODULES {
        let told = ask(Command::new("/sbin/modprobe").arg("-d").arg(&root).args([
            "-S",
            release,
            "--show-depends",
            name,
        ]))
        .with_context(|| format!("{release} has no module {name}"))?;
        let paths = told.lines().filter_map(|line| line.strip_prefix("insmod "));
        for path in paths.map(|path| PathBuf::from(path.trim())) {
            if !modules.contains(&path) {
                modules.push(path);
            }
        }
    }
    for (number, module) in modules.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        fs::copy(module, files.join(format!("modules/{number:02}-{name}")))?;
    }
    let init = files.join("init");
    let modules = root.join("lib/modules");
    fs::write(
        &init,
        INIT.replace("@MODULES@", &modules.display().to_string()),
    )?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn pack(workspace: &Workspace, files: &Path, ram_disk: &Path) -> Result<()> {
    let mut pack = Command::new("sh");
    pack.current_dir(files).stdin(Stdio::null()).args([
        "-c",
        "find . | cpio --quiet -o -H newc > \"$1\"",
        "sh",
    ]);
    pack.arg(ram_disk);
    Step::new("Packing the RAM disk", workspace.log("kernel-pack")?, pack).run()
}
