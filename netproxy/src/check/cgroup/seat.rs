//! Where a cgroup lies in the hierarchy, as the kernel tells it: relative to the root of the reader's
//! cgroup namespace.

use std::fmt;

/// A path like `/kubepods/pod1`, or `/../../init.scope` where it leads out of the namespace.
///
/// The kernel goes no further up than it has to (`kernfs_path_from_node` in fs/kernfs/dir.c), so a
/// part after `..` is never the way back that it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// How many times `..` comes first.
    pub(super) up: usize,
    /// What follows.
    pub(super) down: Vec<String>,
}

impl Seat {
    /// Of a `root` in mountinfo or the path of a line in `/proc/<pid>/cgroup`.
    pub(super) fn parse(path: &str) -> Self {
        // What the kernel adds to the path of a cgroup whose directory is gone.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let parts = || path.split('/').filter(|part| !part.is_empty());
        Self {
            up: parts().take_while(|part| *part == "..").count(),
            down: parts()
                .skip_while(|part| *part == "..")
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Of the v2 line in the text of `/proc/<pid>/cgroup`.
    pub(super) fn of_process(cgroups: &str) -> Option<Self> {
        cgroups
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .map(Self::parse)
    }

    /// Whether it is the namespace's root.
    pub(super) fn is_root(&self) -> bool {
        self.up == 0 && self.down.is_empty()
    }

    /// Whether `other` is this cgroup or below it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        if self.up > other.up {
            return self.down.is_empty();
        }
        self.up == other.up && other.down.starts_with(&self.down)
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str("/");
        }
        for _ in 0..self.up {
            f.write_str("/..")?;
        }
        self.down.iter().try_for_each(|part| write!(f, "/{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(this: &str, other: &str) -> bool {
        Seat::parse(this).holds(&Seat::parse(other))
    }

    #[test]
    fn a_cgroup_holds_itself_and_what_is_below() {
        for (this, other) in [
            ("/", "/"),
            ("/", "/kubepods/pod1"),
            ("/kubepods", "/kubepods/pod1"),
            ("/..", "/"),
            ("/..", "/../init.scope"),
            ("/../..", "/../init.scope"),
            ("/../slice", "/../slice/unit"),
        ] {
            assert!(holds(this, other), "{this} holds {other}");
        }
    }

    #[test]
    fn a_cgroup_does_not_hold_what_is_above_or_beside_it() {
        for (this, other) in [
            ("/", "/.."),
            ("/", "/../init.scope"),
            ("/kubepods", "/"),
            ("/kube", "/kubepods"),
            ("/..", "/../../init.scope"),
            ("/../slice", "/"),
            ("/../../slice", "/../slice"),
        ] {
            assert!(!holds(this, other), "{this} holds {other}");
        }
    }

    #[test]
    fn a_path_is_printed_as_it_was_read() {
        for path in ["/", "/..", "/../..", "/../init.scope", "/kubepods/pod1"] {
            assert_eq!(Seat::parse(path).to_string(), path);
        }
        assert_eq!(Seat::parse("/gone (deleted)").to_string(), "/gone");
    }

    #[test]
    fn only_the_line_of_the_second_version_counts() {
        let hybrid = "9:name=systemd:/\n4:memory:/kubepods\n0::/system.slice\n";

        assert_eq!(Seat::of_process(hybrid), Some(Seat::parse("/system.slice")));
        assert_eq!(Seat::of_process("4:memory:/kubepods\n"), None);
    }
}
