//! Which Linux distribution this is, from os-release(5).

use std::fs;

/// What os-release says of the machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    /// The name for people, such as `Debian GNU/Linux 12 (bookworm)`.
    pub(crate) name: String,
    /// Identifiers of the distribution and of those it descends from, nearest first.
    lineage: Vec<String>,
}

impl Distribution {
    /// Reads `/etc/os-release`, else `/usr/lib/os-release`.
    pub(crate) fn detect() -> Self {
        let text = fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
            .unwrap_or_default();
        Self::parse(&text)
    }

    /// Debian or one of its descendants: its package names and its package manager apply.
    pub(crate) fn is_debian(&self) -> bool {
        self.lineage.iter().any(|id| id == "debian")
    }

    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            text.lines()
                .filter_map(|line| line.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim_matches(['"', '\'']).to_owned())
        };
        let id = field("ID");
        let name = field("PRETTY_NAME")
            .or_else(|| id.clone())
            .unwrap_or_else(|| "an unknown distribution".to_owned());
        let like = field("ID_LIKE").unwrap_or_default();
        let lineage = id
            .into_iter()
            .chain(like.split_whitespace().map(str::to_owned))
            .collect();
        Self { name, lineage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_is_debian() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";

        let debian = Distribution::parse(text);

        assert!(debian.is_debian());
        assert_eq!(debian.name, "Debian GNU/Linux 12 (bookworm)");
    }

    #[test]
    fn a_descendant_of_debian_is_debian_at_any_distance() {
        assert!(Distribution::parse("ID=ubuntu\nID_LIKE=debian\n").is_debian());
        assert!(Distribution::parse("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n").is_debian());
    }

    #[test]
    fn another_distribution_is_not_debian() {
        let text = "NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";

        let rocky = Distribution::parse(text);

        assert!(!rocky.is_debian());
        assert_eq!(rocky.name, "rocky");
    }

    #[test]
    fn an_identifier_inside_another_field_does_not_count() {
        assert!(!Distribution::parse("VARIANT_ID=debian\nID=arch\n").is_debian());
    }

    #[test]
    fn a_missing_file_still_has_a_name() {
        assert_eq!(Distribution::parse("").name, "an unknown distribution");
    }
}
