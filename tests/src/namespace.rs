//! One network namespace, with a name under `/run/netns` as `ip netns` keeps it.
//!
//! Only the network namespace is ever entered, never a mount namespace: `ip netns exec` and
//! `ip -n` remount `/sys` and so hide bpffs and the cgroups from what they start.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

/// Where named network namespaces are.
pub(crate) const DIRECTORY: &str = "/run/netns";

/// A network namespace that has a name. Dropping the handle leaves it: it ends with the lab.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    file: Arc<File>,
}

impl Namespace {
    /// Makes the namespace `name`, with nothing in it but `lo`, which is down.
    ///
    /// # Errors
    /// When the name is taken, or the caller is not root.
    pub(crate) fn create(name: &str) -> Result<Self> {
        prepare_directory()?;
        let path = Self::path_of(name);
        File::create_new(&path)
            .with_context(|| format!("the network namespace {name} cannot be made"))?;
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
            mount(
                Some("/proc/thread-self/ns/net"),
                &path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
            .with_context(|| {
                format!(
                    "the network namespace cannot be bound to {}",
                    path.display()
                )
            })
        })
        .with_context(|| format!("the network namespace {name} cannot be made"))?;
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            file: Arc::new(file),
        })
    }

    /// Its name, as `ip netns` lists it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file, for `nsenter --net=…`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Self::path_of(&self.name)
    }

    /// Runs `work` on a thread that is in this namespace: for sockets and `/proc/sys/net`.
    ///
    /// # Errors
    /// Those of `work`, and of entering the namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_own_thread(|| {
            self.enter()
                .with_context(|| format!("enter the network namespace {}", self.name))?;
            work()
        })
    }

    /// Moves the calling thread (or the child that is about to exec) here for good.
    pub(crate) fn enter(&self) -> io::Result<()> {
        setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
    }

    /// Writes settings below `/proc/sys/net`, such as `("ipv4/ip_forward", "1")`, in order.
    ///
    /// # Errors
    /// When a setting does not exist or refuses the value.
    pub fn set(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.inside(|| {
            for (name, value) in settings {
                fs::write(Path::new("/proc/sys/net").join(name), value).with_context(|| {
                    format!("net/{name} cannot be set to {value} in {}", self.name)
                })?;
            }
            Ok(())
        })
    }

    /// Takes the name away; the kernel ends the namespace when its last process and file are gone.
    /// A namespace that is not there is no error.
    pub(crate) fn remove(name: &str) -> Result<()> {
        let path = Self::path_of(name);
        match umount2(&path, MntFlags::MNT_DETACH) {
            // EINVAL: the file is there, the mount is not (its maker died in between).
            Ok(()) | Err(Errno::ENOENT | Errno::EINVAL) => {}
            Err(error) => bail!("{} cannot be unmounted: {error}", path.display()),
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn path_of(name: &str) -> PathBuf {
        Path::new(DIRECTORY).join(name)
    }
}

/// Makes `/run/netns` a shared mount, exactly as `ip netns add` does. Would `ip` do it later, it
/// would copy our mounts, and removing a namespace would leave the copy behind.
fn prepare_directory() -> Result<()> {
    fs::create_dir_all(DIRECTORY).with_context(|| format!("{DIRECTORY} cannot be made"))?;
    let directory = File::open(DIRECTORY).with_context(|| format!("open {DIRECTORY}"))?;
    // `ip netns` takes this very lock.
    directory
        .lock()
        .with_context(|| format!("lock {DIRECTORY}"))?;
    let share = || {
        let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
        mount(None::<&str>, DIRECTORY, None::<&str>, flags, None::<&str>)
    };
    if share().is_ok() {
        return Ok(());
    }
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(DIRECTORY), DIRECTORY, None::<&str>, bind, None::<&str>)
        .and_then(|()| share())
        .with_context(|| format!("{DIRECTORY} cannot be made a shared mount"))
}

/// A thread's namespace is its own: the caller's stays as it is.
fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .map_err(|_| anyhow!("the work inside the namespace panicked"))?
    })
}
