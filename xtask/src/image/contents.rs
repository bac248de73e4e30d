//! The files of the image: the binary, what it needs to start, and whose all that is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::ask;

/// Where the binary is, in the image.
pub(super) const PROGRAM: &str = "usr/bin/netproxy";

/// glibc before 2.34 looks names up by libraries that it loads when it is asked (`libnss_files`,
/// `libnss_dns`); since then they are part of libc.so.6.
const GLIBC: (u32, u32) = (2, 34);

/// Where file systems are mounted by who runs the image. /etc gets hosts and resolv.conf from there.
const DIRECTORIES: [&str; 6] = ["dev", "etc", "proc", "run", "sys", "tmp"];

/// Without it, glibc asks name servers before it looks into /etc/hosts.
const NSSWITCH: &str = "hosts: files dns\n";

/// What is copied from the machine, where it has that, beside libraries.
const LICENCES: [&str; 2] = [
    "usr/share/doc/libc6/copyright",
    "usr/share/doc/libgcc-s1/copyright",
];

/// One thing in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Directory,
    File { bytes: Vec<u8>, mode: u32 },
}

/// Everything in the image by its path, without a leading `/`. Directories come before what is in them.
#[derive(Debug, Default)]
pub(super) struct Contents(BTreeMap<PathBuf, Entry>);

impl Contents {
    /// `program` with what it needs of this machine, and the licences in `root`.
    pub(super) fn of_program(program: &Path, root: &Path) -> Result<Self> {
        let mut contents = Self::default();
        for directory in DIRECTORIES {
            contents.add_directory(Path::new(directory));
        }
        contents.add_copy(Path::new(PROGRAM), program, 0o755)?;
        for library in libraries(program)? {
            let inside = library.strip_prefix("/").unwrap_or(&library);
            contents.add_copy(inside, &library, 0o755)?;
        }
        contents.add("etc/nsswitch.conf".into(), NSSWITCH.into(), 0o644);
        for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let inside = Path::new("usr/share/doc/netproxy").join(name);
            contents.add_copy(&inside, &root.join(name), 0o644)?;
        }
        for licence in LICENCES {
            let file = Path::new("/").join(licence);
            if file.exists() {
                contents.add_copy(Path::new(licence), &file, 0o644)?;
            }
        }
        Ok(contents)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    fn add_copy(&mut self, inside: &Path, file: &Path, mode: u32) -> Result<()> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.add(inside.to_owned(), bytes, mode);
        Ok(())
    }

    fn add(&mut self, inside: PathBuf, bytes: Vec<u8>, mode: u32) {
        if let Some(directory) = inside.parent() {
            self.add_directory(directory);
        }
        self.0.insert(inside, Entry::File { bytes, mode });
    }

    fn add_directory(&mut self, directory: &Path) {
        let above = directory.ancestors();
        for directory in above.filter(|path| !path.as_os_str().is_empty()) {
            self.0.insert(directory.to_owned(), Entry::Directory);
        }
    }
}

/// The loader and libraries of `program`, where the loader itself finds them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let version = ask(Command::new("ldd").arg("--version")).unwrap_or_default();
    let version = glibc(&version)
        .context("`ldd --version` does not tell a version of glibc: build the image on glibc")?;
    ensure!(
        version >= GLIBC,
        "glibc {}.{} keeps the lookup of names in libraries of its own; build the image where it is \
         {}.{} or later (Debian 12)",
        version.0,
        version.1,
        GLIBC.0,
        GLIBC.1
    );
    let listed = ask(Command::new("ldd").arg(program)).with_context(|| {
        format!(
            "`ldd {}` fails: it is no program that is linked dynamically",
            program.display()
        )
    })?;
    listed_libraries(&listed)
}

/// The version at the end of the first line of `ldd --version`.
fn glibc(version: &str) -> Option<(u32, u32)> {
    let last = version.lines().next()?.split_whitespace().last()?;
    let (major, minor) = last.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The files in what `ldd` prints.
fn listed_libraries(listed: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for line in listed.lines().map(str::trim) {
        let found = line.split_once(" => ").map_or(line, |(_, found)| found);
        if found.starts_with("not found") {
            bail!("the binary needs a library that is not here: {line}");
        }
        // The kernel's own (linux-vdso) has no file.
        if found.starts_with('/') {
            files.extend(found.split_whitespace().next().map(PathBuf::from));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_every_library_that_is_a_file_are_taken() -> Result<()> {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";

        let files = listed_libraries(listed)?;

        let wanted = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(files, wanted.map(PathBuf::from));
        Ok(())
    }

    #[test]
    fn a_library_that_is_missing_is_named() {
        let message = listed_libraries("\tlibfoo.so.1 => not found\n")
            .unwrap_err()
            .to_string();

        assert!(message.contains("libfoo.so.1"), "{message}");
    }

    #[test]
    fn the_c_librarys_version_is_at_the_end_of_the_first_line() {
        let text = "ldd (Debian GLIBC 2.36-9+deb12u14) 2.36\nCopyright (C) 2022\n";

        assert_eq!(glibc(text), Some((2, 36)));
        assert_eq!(glibc("musl libc (x86_64)\nVersion 1.2.3\n"), None);
    }
}
