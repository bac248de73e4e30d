//! A network and a mount namespace for the calling thread alone, left again on drop.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::geteuid;
use tempfile::TempDir;

/// Where the thread came from, and the BPF file system that only it sees.
#[derive(Debug)]
pub(crate) struct Namespace {
    bpffs: TempDir,
    outer_network: File,
    outer_mounts: File,
}

impl Namespace {
    /// Moves the calling thread into new, empty namespaces.
    pub(crate) fn enter() -> Self {
        assert!(
            geteuid().is_root(),
            "the program tier loads eBPF programs and makes namespaces, which needs root; \
             run it with `sudo -E cargo test -p netproxy-tests --test program`"
        );
        let bpffs = TempDir::new().expect("a temporary directory can be made");
        let outer_network = File::open("/proc/thread-self/ns/net").unwrap();
        let outer_mounts = File::open("/proc/thread-self/ns/mnt").unwrap();
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .expect("root may make namespaces; in a container, run it with --privileged");
        let nowhere = None::<&str>;
        mount(
            nowhere,
            "/",
            nowhere,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            nowhere,
        )
        .expect("mounts of a new namespace can be made private");
        mount(
            Some("bpf"),
            bpffs.path(),
            Some("bpf"),
            MsFlags::empty(),
            nowhere,
        )
        .expect("a BPF file system can be mounted; the kernel needs CONFIG_BPF_SYSCALL");
        Self {
            bpffs,
            outer_network,
            outer_mounts,
        }
    }

    /// The mounted BPF file system.
    pub(crate) fn bpffs(&self) -> &Path {
        self.bpffs.path()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A thread that has been joined may still be on its way out, and share what `setns` wants for itself
        // alone (mntns_install in fs/namespace.c).
        unshare(CloneFlags::CLONE_FS).expect("a thread may have a working directory of its own");
        // Whatever was mounted, pinned or created goes with the namespaces.
        setns(&self.outer_mounts, CloneFlags::CLONE_NEWNS).expect("a thread may go home");
        setns(&self.outer_network, CloneFlags::CLONE_NEWNET).expect("a thread may go home");
    }
}

/// Runs the commands of `ip -batch`, one a line, in the calling thread's network namespace.
#[track_caller]
pub(crate) fn ip(commands: &str) {
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("`ip` is needed; `apt-get install iproute2` brings it");
    ip.stdin
        .take()
        .unwrap()
        .write_all(commands.as_bytes())
        .unwrap();
    let status = ip.wait().unwrap();
    assert!(status.success(), "ip refused:\n{commands}");
}

/// Sets a sysctl below `/proc/sys/net`, in the calling thread's network namespace.
#[track_caller]
pub(crate) fn sysctl(name: &str, value: &str) {
    fs::write(Path::new("/proc/sys/net").join(name), value)
        .unwrap_or_else(|error| panic!("net/{name} cannot be set to {value}: {error}"));
}
