//! A file that changes is noticed; one that does not is left alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Longer than it takes, shorter than the watch looks by itself.
const SOON: Duration = Duration::from_secs(10);

struct Watched {
    directory: TempDir,
    path: PathBuf,
    change: JoinHandle<ConfigError>,
}

impl Watched {
    /// Watches `config.conf`, once `make` has made it in the directory.
    fn new(make: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        let path = directory.path().join("config.conf");
        let watch = Watch::new(&ConfigFile::read(&path).unwrap()).unwrap();
        Self {
            directory,
            path,
            change: tokio::spawn(watch.changed()),
        }
    }

    fn write(&self, name: &str, fields: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, format!("{HEAD}{fields}")).unwrap();
        path
    }

    /// What was told; it must be told soon.
    async fn told(self) -> String {
        let change = timeout(SOON, self.change).await.expect("no change told");
        change.unwrap().to_string()
    }
}

fn plain(directory: &Path) {
    fs::write(directory.join("config.conf"), HEAD).unwrap();
}

#[tokio::test]
async fn a_file_that_is_written_has_changed() {
    let watched = Watched::new(plain);
    let path = watched.path.clone();

    watched.write("config.conf", "mode: ipvs\n");

    assert_eq!(
        watched.told().await,
        format!(
            "configuration {} was changed; the agent ends so that it is started again with the \
             new one. The datapath stays in force",
            path.display()
        )
    );
}

#[tokio::test]
async fn a_file_that_another_takes_the_place_of_has_changed() {
    let watched = Watched::new(plain);

    let other = watched.write("other", "mode: ipvs\n");
    fs::rename(other, &watched.path).unwrap();

    assert!(watched.told().await.contains(" was changed; "));
}

#[tokio::test]
async fn a_file_that_is_renamed_is_told_to_be() {
    let watched = Watched::new(plain);

    fs::rename(&watched.path, watched.directory.path().join("old")).unwrap();

    assert!(watched.told().await.contains(" was renamed; "));
}

#[tokio::test]
async fn a_mounted_config_map_that_is_updated_has_changed() {
    let watched = Watched::new(|directory| {
        fs::create_dir(directory.join("..2026_01")).unwrap();
        fs::write(directory.join("..2026_01/config.conf"), HEAD).unwrap();
        symlink("..2026_01", directory.join("..data")).unwrap();
        symlink("..data/config.conf", directory.join("config.conf")).unwrap();
    });

    // As the kubelet does it.
    let directory = watched.directory.path();
    fs::create_dir(directory.join("..2026_02")).unwrap();
    watched.write("..2026_02/config.conf", "mode: ipvs\n");
    symlink("..2026_02", directory.join("..data_tmp")).unwrap();
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    fs::remove_dir_all(directory.join("..2026_01")).unwrap();

    assert!(watched.told().await.contains(" was changed; "));
}

#[tokio::test]
async fn what_a_link_leads_to_is_watched_too() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    let watched = Watched::new(|directory| {
        fs::write(&target, HEAD).unwrap();
        symlink(&target, directory.join("config.conf")).unwrap();
    });

    fs::write(&target, format!("{HEAD}mode: ipvs\n")).unwrap();

    assert!(watched.told().await.contains(" was changed; "));
}

#[tokio::test]
async fn a_change_between_reading_and_watching_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    plain(directory.path());
    let path = directory.path().join("config.conf");
    let file = ConfigFile::read(&path).unwrap();

    fs::write(&path, format!("{HEAD}mode: ipvs\n")).unwrap();
    let watch = Watch::new(&file).unwrap();

    let change = timeout(SOON, watch.changed())
        .await
        .expect("no change told");
    assert!(matches!(change, ConfigError::Changed { .. }));
}

#[tokio::test]
async fn the_same_content_and_an_absence_are_no_change() {
    let watched = Watched::new(plain);

    watched.write("config.conf", "");
    watched.write("neighbour", "mode: ipvs\n");
    fs::remove_file(&watched.path).unwrap();
    watched.write("config.conf", "");
    // Each of these would have been told before this one.
    fs::rename(&watched.path, watched.directory.path().join("old")).unwrap();

    assert!(watched.told().await.contains(" was renamed; "));
}
