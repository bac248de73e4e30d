//! Settings of the kernel that are switched on where they are off.

use std::path::Path;
use std::{fs, io};

use super::Step;

/// Makes `name` at least 1. Whatever is higher means something to somebody.
pub(super) fn raise(proc: &Path, subject: &'static str, name: &str) -> Step {
    let path = proc.join("sys").join(name.replace('.', "/"));
    let value = match fs::read_to_string(&path) {
        Ok(value) => value.trim().to_owned(),
        // Without IPv6, or in a network namespace that has no such setting.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Step::kept(subject, format!("no {name} here"));
        }
        Err(error) => return Step::failed(subject, format!("{name}: {error}")),
    };
    if value != "0" {
        return Step::kept(subject, format!("{name} is {value}"));
    }
    match fs::write(&path, "1") {
        Ok(()) => Step::done(subject, format!("{name} is 1 now, and was 0")),
        Err(error) => Step::failed(subject, format!("{name} stays 0: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::init::Outcome;

    const NAME: &str = "net.ipv4.ip_forward";

    /// A proc file system with this value of [`NAME`].
    fn proc(value: &str) -> TempDir {
        let proc = TempDir::new().unwrap();
        fs::create_dir_all(proc.path().join("sys/net/ipv4")).unwrap();
        fs::write(file(&proc), value).unwrap();
        proc
    }

    fn file(proc: &TempDir) -> std::path::PathBuf {
        proc.path().join("sys/net/ipv4/ip_forward")
    }

    #[test]
    fn what_is_off_is_switched_on() {
        let proc = proc("0\n");

        let step = raise(proc.path(), "forwarding", NAME);

        assert_eq!(step.outcome, Outcome::Done, "{step:?}");
        assert_eq!(fs::read_to_string(file(&proc)).unwrap(), "1");
    }

    #[test]
    fn what_is_on_in_any_way_is_never_lowered() {
        for value in ["1\n", "2\n"] {
            let proc = proc(value);

            let step = raise(proc.path(), "forwarding", NAME);

            assert_eq!(step.outcome, Outcome::Kept, "{step:?}");
            assert_eq!(fs::read_to_string(file(&proc)).unwrap(), value);
        }
    }

    #[test]
    fn what_the_kernel_does_not_have_is_no_failure() {
        let proc = proc("0");

        let step = raise(proc.path(), "JIT", "net.core.bpf_jit_enable");

        assert_eq!(step.outcome, Outcome::Kept, "{step:?}");
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_name() {
        let proc = proc("0");
        fs::remove_file(file(&proc)).unwrap();
        fs::create_dir(file(&proc)).unwrap();

        let step = raise(proc.path(), "forwarding", NAME);

        assert_eq!(step.outcome, Outcome::Failed);
        assert!(step.told.contains(NAME), "{step:?}");
    }
}
