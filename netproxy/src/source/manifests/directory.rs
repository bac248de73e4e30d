//! The files of the directory, each with what it declares.
//!
//! A file is parsed only when its content has changed. One that is broken is reported once per
//! content; meanwhile it declares what it declared when it was last readable.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::document::{self, Declared};
use crate::model::convert::Interner;
use crate::source::Interest;

/// What the names of manifests end in.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The directory as it was last read.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    interest: Interest,
    interner: Interner,
    hasher: RandomState,
    files: BTreeMap<String, File>,
}

/// One file as it was last read.
#[derive(Debug, Default)]
struct File {
    state: State,
    stamp: Option<Stamp>,
    declared: Vec<Declared>,
}

/// What reading a file gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unread,
    Unreadable,
    /// Content of this hash.
    Content(u64),
}

/// Device, inode, time of the last change of the inode, and size. The same stamp can hide two
/// writes in one tick of the clock, so it is trusted only where no event asks for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u64, u64, i64, i64, u64);

impl Directory {
    /// The directory at `path`, for what is of `interest` in it; nothing is read yet.
    pub(super) fn new(path: PathBuf, interest: Interest) -> Self {
        Self {
            path,
            interest,
            interner: Interner::default(),
            hasher: RandomState::new(),
            files: BTreeMap::new(),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it anew: all of it if `is_told` that it may have changed, else what looks changed.
    /// True if any declaration may be different now.
    pub(super) fn read(&mut self, is_told: bool) -> io::Result<bool> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| is_manifest(name)) {
                names.push(name.to_owned());
            }
        }
        let before = self.files.len();
        self.files.retain(|name, _| names.contains(name));
        let mut is_different = self.files.len() != before;
        for name in names {
            is_different |= self.read_file(name, is_told);
        }
        Ok(is_different)
    }

    /// Every file by name, with what it declares.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[Declared])> {
        let files = self.files.iter();
        files.map(|(name, file)| (name.as_str(), file.declared.as_slice()))
    }

    /// True if what the file declares may be different now.
    fn read_file(&mut self, name: String, is_told: bool) -> bool {
        let path = self.path.join(&name);
        let stamp = Stamp::of(&path);
        let known = self.files.get(&name);
        if !is_told && stamp.is_some() && known.is_some_and(|file| file.stamp == stamp) {
            return false;
        }
        let content = match fs::read(&path) {
            // Gone since the directory was read, or a link whose target is: as if deleted.
            Err(error) if is_absence(&error) => return self.files.remove(&name).is_some(),
            content => content,
        };
        let file = self.files.entry(name).or_default();
        file.stamp = stamp;
        let state = match &content {
            Ok(content) => State::Content(self.hasher.hash_one(content)),
            Err(_) => State::Unreadable,
        };
        if std::mem::replace(&mut file.state, state) == state {
            return false;
        }
        match content.map(|content| document::parse(&content, &self.interest, &mut self.interner)) {
            Ok(Ok(declared)) => {
                file.declared = declared;
                return true;
            }
            Ok(Err(error)) => tracing::error!(
                file = %path.display(),
                line = error.line,
                column = error.column,
                reason = error.reason,
                "manifest is broken; what it last declared stays in force until it is repaired"
            ),
            Err(error) => tracing::error!(
                file = %path.display(),
                %error,
                "manifest cannot be read; what it last declared stays in force"
            ),
        }
        false
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self(
            metadata.dev(),
            metadata.ino(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.size(),
        ))
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory
    )
}

/// Whether a file of this name is read. Hidden ones are editors' and mounted `ConfigMap`s' own.
fn is_manifest(name: &str) -> bool {
    let extension = Path::new(name).extension();
    let is_known =
        extension.is_some_and(|extension| EXTENSIONS.iter().any(|ext| extension == *ext));
    is_known && !name.starts_with('.')
}
