//! The kernel's version, its type information and its compiler.

use std::fs;

use procfs_core::KernelVersion;

use super::Finding;
use super::machine::Machine;

/// The oldest kernel that netproxy is tested on.
const FLOOR: (u8, u8) = (6, 1);
/// The first with tcx links.
const TCX: (u8, u8) = (6, 6);
/// The first whose FIB lookup tells the source address.
const FIB_SOURCE: (u8, u8) = (6, 7);

pub(super) fn version(machine: &Machine) -> Finding {
    let subject = "kernel";
    let path = machine.proc("sys/kernel/osrelease");
    let release = match fs::read_to_string(&path) {
        Ok(release) => release.trim().to_owned(),
        Err(error) => {
            return Finding::note(subject, format!("unknown: {}: {error}", path.display()));
        }
    };
    let Ok(version) = KernelVersion::from_str(&release) else {
        return Finding::note(
            subject,
            format!("{release}: not a version netproxy understands"),
        );
    };
    let version = (version.major, version.minor);
    let (major, minor) = FLOOR;
    if version < FLOOR {
        Finding::problem(subject, format!("{release} is older than {major}.{minor}"))
            .remedy(format!("boot a kernel of version {major}.{minor} or later"))
    } else if version < TCX {
        Finding::note(
            subject,
            format!(
                "{release} has no tcx (6.6): programs are attached as clsact filters, whose order \
                 among other filters is not protected"
            ),
        )
    } else if version < FIB_SOURCE {
        Finding::note(
            subject,
            format!(
                "{release} does not tell source addresses in FIB lookups (6.7): translated packets \
                 take the first address of the device they leave by"
            ),
        )
    } else {
        Finding::ok(subject, release)
    }
}

pub(super) fn btf(machine: &Machine) -> Finding {
    let subject = "BTF";
    let path = machine.sys("kernel/btf/vmlinux");
    if path.exists() {
        Finding::ok(subject, path.display().to_string())
    } else {
        Finding::problem(
            subject,
            format!(
                "{} is missing: the programs cannot be loaded",
                path.display()
            ),
        )
        .remedy(
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y; in a container mount the host's \
             /sys",
        )
    }
}

pub(super) fn jit(machine: &Machine) -> Finding {
    let subject = "BPF JIT";
    let name = "net.core.bpf_jit_enable";
    match machine.sysctl(name).as_ref().map(Option::as_deref) {
        Ok(Some("0")) => Finding::warning(
            subject,
            "off: programs are interpreted, several times slower",
        )
        .remedy(format!("sysctl -w {name}=1")),
        Ok(Some("2")) => Finding::note(subject, "on, with every program dumped to the kernel log")
            .remedy(format!("sysctl -w {name}=1")),
        Ok(Some(_)) => Finding::ok(subject, "on"),
        // Not in a network namespace other than the first, as in a test or a nested node.
        Ok(None) => Finding::note(subject, format!("unknown: no {name} here")),
        Err(error) => Finding::note(subject, format!("unknown: {name}: {error}")),
    }
}
