//! Stamps: which recipe an artefact was made by, so that it is not made again.
//!
//! A stamp is the recipe's whole text: nothing collides, and `diff` tells why one is stale. It is
//! written after the artefact, so an interrupted build leaves none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The stamp file of one artefact, or of several made together.
#[derive(Debug)]
pub(crate) struct Stamp {
    file: PathBuf,
    recipe: String,
}

impl Stamp {
    pub(crate) fn new(file: PathBuf, recipe: String) -> Self {
        Self { file, recipe }
    }

    /// All `artefacts` are there and were made by this very recipe.
    pub(crate) fn is_fresh<P: AsRef<Path>>(&self, artefacts: impl IntoIterator<Item = P>) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|made_by| made_by == self.recipe)
            && artefacts.into_iter().all(|path| path.as_ref().is_file())
    }

    /// Notes that the artefacts were made by this recipe.
    pub(crate) fn write(&self) -> Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        fs::write(&self.file, &self.recipe)
            .with_context(|| format!("cannot write the stamp {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_fresh_for_the_recipe_it_was_written_for_only() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("stamp/etcd");
        let artefact = folder.path().join("etcd");
        fs::write(&artefact, "")?;

        Stamp::new(file.clone(), "etcd 1".to_owned()).write()?;

        assert!(Stamp::new(file.clone(), "etcd 1".to_owned()).is_fresh([&artefact]));
        assert!(!Stamp::new(file, "etcd 2".to_owned()).is_fresh([&artefact]));
        Ok(())
    }

    #[test]
    fn a_stamp_is_stale_when_an_artefact_is_gone_or_nothing_was_stamped() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let stamp = Stamp::new(folder.path().join("stamp"), "etcd 1".to_owned());
        let here = folder.path().join("here");
        fs::write(&here, "")?;
        assert!(!stamp.is_fresh([&here]), "never written");

        stamp.write()?;

        assert!(!stamp.is_fresh([&here, &folder.path().join("gone")]));
        Ok(())
    }
}
