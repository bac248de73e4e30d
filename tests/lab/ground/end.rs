//! However a lab ends, nothing of it stays.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{Cni, Lab, Place, Serve, Traffic, run_dir, wait::wait_for, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Whatever is there of the lab `id`: mounts, namespaces, cgroups, files.
fn remains(id: &str) -> Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut found: Vec<String> = mounts
        .lines()
        .filter(|line| line.contains(&format!("/np-{id}-")) || line.contains(&format!("/{id}/")))
        .map(str::to_owned)
        .collect();
    let namespaces = fs::read_dir("/run/netns")?
        .flatten()
        .map(|entry| entry.file_name());
    let of_lab = |name: &String| name.starts_with(&format!("np-{id}-"));
    found.extend(
        namespaces
            .map(|name| name.to_string_lossy().into_owned())
            .filter(of_lab),
    );
    for directory in [
        "/run/netproxy-lab",
        "/sys/fs/cgroup/unified/netproxy-lab",
        "/sys/fs/cgroup/netproxy-lab",
    ] {
        let path = Path::new(directory).join(id);
        found.extend(path.exists().then(|| path.display().to_string()));
    }
    Ok(found)
}

fn nothing_remains(id: &str) -> Result<()> {
    let what = format!("nothing of the lab {id} remains");
    wait_for(&what, Duration::from_secs(5), || remains(id), Vec::is_empty).map(drop)
}

fn is_there(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

/// A lab whose owner is another process, and a server in it.
struct Owned {
    owner: Child,
    id: String,
}

/// Whatever became of the test.
impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.owner.kill();
        let _ = self.owner.wait();
        let _ = Lab::remove(&self.id);
    }
}

impl Owned {
    fn start(name: &str, extra: &[&str]) -> Result<Self> {
        let id = own_id(name);
        let mut owner = Command::new(env!("CARGO_BIN_EXE_netproxy-lab"))
            .args(["up", &id, "a=bridge:web", "b=vxlan", "--client", "outside"])
            .args(extra)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = owner.stdout.take().context("no standard output")?;
        let is_up = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .any(|line| {
                line.starts_with("  client ") && line.ends_with(&format!("np-{id}-outside"))
            });
        ensure!(is_up, "the lab {id} is not up");
        Ok(Self { owner, id })
    }

    /// Starts a program on the node from outside of the owner, as `nsenter` would.
    fn intruder(&self) -> Result<Child> {
        let child = Command::new("sleep").arg("600").spawn()?;
        let cgroup = run_dir::list()?
            .into_iter()
            .find(|lab| lab.id == self.id)
            .context("the lab is not listed")?
            .cgroup;
        fs::write(cgroup.join("a/cgroup.procs"), child.id().to_string())?;
        Ok(child)
    }

    fn end_by(mut self, signal: Signal) -> Result<()> {
        ensure!(
            !remains(&self.id)?.is_empty(),
            "the test looks in the wrong place"
        );
        let mut program = self.intruder()?;
        kill(Pid::from_raw(i32::try_from(self.owner.id())?), signal)?;
        self.owner.wait()?;
        nothing_remains(&self.id)?;
        let ended = program.try_wait()?;
        ensure!(
            ended.is_some_and(|status| status.signal() == Some(9)),
            "the program was not killed: {ended:?}"
        );
        Ok(())
    }
}

#[test]
fn nothing_remains_when_the_owner_is_killed() -> Result<()> {
    Owned::start("end-sigkill", &[])?.end_by(Signal::SIGKILL)
}

#[test]
fn nothing_remains_when_the_owner_is_interrupted() -> Result<()> {
    Owned::start("end-sigint", &[])?.end_by(Signal::SIGINT)
}

#[test]
fn nothing_remains_when_the_owner_panics() -> Result<()> {
    let mut known = None;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let lab = Lab::builder("end-panic")
            .node("a", Cni::PointToPoint)
            .pod("web")
            .up()
            .unwrap();
        let server = lab
            .pod("web")
            .unwrap()
            .serve(&Serve::new().http(8080))
            .unwrap();
        known = Some((lab.id(), server.pid()));
        panic!("on purpose");
    }));
    assert!(ended.is_err());
    let (id, server) = known.context("the lab did not come up")?;
    ensure!(remains(&id)?.is_empty(), "{:?}", remains(&id)?);
    ensure!(!is_there(server), "the server lives on");
    Ok(())
}

#[test]
fn nothing_remains_when_the_work_is_done() -> Result<()> {
    let lab = Lab::builder("end-good")
        .node("a", Cni::Vxlan)
        .pod("web")
        .client("outside")
        .up()?;
    let server = lab.pod("web")?.serve(&Serve::new().http(8080))?;
    let id = lab.id();
    ensure!(
        !remains(&id)?.is_empty(),
        "the test looks in the wrong place"
    );
    drop(lab);
    ensure!(remains(&id)?.is_empty(), "{:?}", remains(&id)?);
    ensure!(!is_there(server.pid()), "the server lives on");
    Ok(())
}

#[test]
fn a_lab_whose_owner_and_watchdog_died_is_swept_by_the_next() -> Result<()> {
    let mut lab = Owned::start("end-swept", &[])?;
    ensure!(
        !remains(&lab.id)?.is_empty(),
        "the test looks in the wrong place"
    );
    let watchdog = child_of(lab.owner.id())?;
    kill(watchdog, Signal::SIGKILL)?;
    kill(
        Pid::from_raw(i32::try_from(lab.owner.id())?),
        Signal::SIGKILL,
    )?;
    lab.owner.wait()?;
    Lab::builder("sweeper")
        .node("a", Cni::Bridge)
        .run(|_| Ok(()))?;
    nothing_remains(&lab.id)
}

#[test]
fn a_kept_lab_outlives_its_owner_until_it_is_removed() -> Result<()> {
    let mut lab = Owned::start("end-kept", &["--keep"])?;
    ensure!(lab.owner.wait()?.success());
    // Another lab that starts sweeps, but not this.
    Lab::builder("sweeper")
        .node("a", Cni::Bridge)
        .run(|_| Ok(()))?;
    let shown = Command::new("ip").args(["netns", "list"]).output()?.stdout;
    ensure!(
        String::from_utf8(shown)?.contains(&format!("np-{}-web", lab.id)),
        "it is gone"
    );
    Lab::remove(&lab.id)?;
    ensure!(remains(&lab.id)?.is_empty(), "{:?}", remains(&lab.id)?);
    let again = Lab::remove(&lab.id).unwrap_err().to_string();
    ensure!(again.starts_with("there is no lab"), "{again}");
    Ok(())
}

#[test]
fn programs_of_a_kept_lab_go_on_until_it_is_removed() -> Result<()> {
    let id = own_id("end-goes-on");
    let lab = Lab::only(&id).node("a", Cni::Bridge).pod("web").up()?;
    let server = lab.pod("web")?.serve(&Serve::new().http(8080))?;
    lab.keep()?;
    ensure!(server.is_running(), "the server ended with its owner");
    Lab::remove(&id)?;
    nothing_remains(&id)?;
    ensure!(!server.is_running(), "the server lives on");
    Ok(())
}

#[test]
fn a_lab_that_is_in_use_is_not_removed_from_outside() -> Result<()> {
    let id = own_id("end-used");
    let lab = Lab::only(&id).node("a", Cni::Bridge).up()?;
    let refused = Lab::remove(&id).unwrap_err().to_string();
    ensure!(refused.contains("in use"), "{refused}");
    let taken = Lab::only(&id)
        .node("a", Cni::Bridge)
        .up()
        .unwrap_err()
        .to_string();
    ensure!(taken.contains(&format!("the lab {id} exists")), "{taken}");
    ensure!(lab.node("a")?.run(&["true"]).is_ok());
    Ok(())
}

#[test]
fn what_cannot_be_made_leaves_nothing() -> Result<()> {
    let id = own_id("end-half");
    let lab = Lab::only(&id).node("a", Cni::Bridge).up()?;
    lab.node("a")?
        .ip("link add vethtaken type veth peer name other")?;
    ensure!(
        lab.node("a")?.add_pod("taken").is_err(),
        "the device's name was free"
    );
    drop(lab);
    nothing_remains(&id)
}

/// The tests of two checkouts may run at the same time.
fn own_id(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

fn child_of(owner: u32) -> Result<Pid> {
    let mut found = None;
    wait_until("the watchdog is there", Duration::from_secs(2), || {
        let children = fs::read_to_string(format!("/proc/{owner}/task/{owner}/children"))?;
        found = children
            .split_whitespace()
            .next()
            .map(str::parse)
            .transpose()?;
        Ok(found.is_some())
    })?;
    found.map(Pid::from_raw).context("no watchdog")
}
