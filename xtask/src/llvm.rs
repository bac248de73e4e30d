//! The LLVM that bpf-linker is built with. It must be of the same major release as the one inside
//! the compiler whose bitcode it links.

use std::path::PathBuf;
use std::process::Command;

use crate::command::ask;

/// The major release of LLVM that everything here is built with.
pub(crate) const MAJOR: u32 = 22;

/// The folder that LLVM with its headers is installed under.
pub(crate) fn prefix() -> Option<PathBuf> {
    let own = format!("/usr/lib/llvm-{MAJOR}/bin/llvm-config");
    let numbered = format!("llvm-config-{MAJOR}");
    [own.as_str(), numbered.as_str(), "llvm-config"]
        .into_iter()
        .filter(|config| {
            ask(Command::new(config).arg("--version"))
                .is_some_and(|version| major(&version) == Some(MAJOR))
        })
        .filter_map(|config| ask(Command::new(config).arg("--prefix")))
        .map(PathBuf::from)
        .find(|prefix| prefix.join("include/llvm-c/Core.h").is_file())
}

/// Polly, which Debian's static LLVM libraries refer to.
pub(crate) fn has_polly() -> bool {
    prefix().is_some_and(|prefix| {
        [
            "lib/libPolly.a",
            "lib64/libPolly.a",
            "lib/libPolly.so",
            "lib64/libPolly.so",
        ]
        .iter()
        .any(|library| prefix.join(library).is_file())
    })
}

/// The major release in a version such as `22.1.8`.
pub(crate) fn major(version: &str) -> Option<u32> {
    version.trim().split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_release_is_what_stands_before_the_first_dot() {
        assert_eq!(major("22.1.8"), Some(22));
        assert_eq!(major(" 19.1.0-rust-1.85.0\n"), Some(19));
        assert_eq!(major("git"), None);
    }
}
