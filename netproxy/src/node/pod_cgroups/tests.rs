//! Directories that come and go as the kubelet makes and removes them. Any file system tells of them
//! as the cgroups' does; the lab holds it on real cgroups.

use std::os::unix::fs::MetadataExt as _;

use tempfile::TempDir;

use super::*;

/// Far more than any change may take; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(10);

const WEB: &str = "0b3a2c1d-1111-4222-8333-abcdefabcdef";
const WEB_SLICE: &str = "kubepods.slice/kubepods-burstable.slice/\
                         kubepods-burstable-pod0b3a2c1d_1111_4222_8333_abcdefabcdef.slice";
const CART: &str = "kubepods/besteffort/pod7f4c9a0b12de34f5a6b7c8d9e0f1a2b3";

fn make(base: &TempDir, path: &str) -> u64 {
    let path = base.path().join(path);
    fs::create_dir_all(&path).unwrap();
    fs::metadata(path).unwrap().ino()
}

fn remove(base: &TempDir, path: &str) {
    fs::remove_dir_all(base.path().join(path)).unwrap();
}

/// The pods below `base`, followed.
async fn followed(base: &TempDir) -> watch::Receiver<Arc<PodCgroups>> {
    let base = base.path().to_owned();
    let pods = watch_pod_cgroups(&TaskTracker::new(), CancellationToken::new(), base).await;
    pods.unwrap()
}

/// Waits until there are the pods with these inodes, and no others.
async fn until(pods: &mut watch::Receiver<Arc<PodCgroups>>, wanted: &[u64]) {
    let are_these = |pods: &Arc<PodCgroups>| {
        let found: BTreeSet<u64> = pods.iter().map(|(_, inode)| *inode).collect();
        found == wanted.iter().copied().collect()
    };
    let found = time::timeout(PATIENCE, pods.wait_for(are_these)).await;
    found.expect("the pods in time").expect("they are followed");
}

#[tokio::test]
async fn pods_are_found_at_any_depth_before_and_after_the_start() {
    let base = tempfile::tempdir().unwrap();
    make(&base, "system.slice/docker.service");
    let web = make(&base, WEB_SLICE);
    let mut pods = followed(&base).await;
    let uid = PodUid::new(WEB).unwrap();
    assert_eq!(**pods.borrow(), PodCgroups::from([(uid, web)]));

    // A whole branch at once.
    let cart = make(&base, CART);
    until(&mut pods, &[web, cart]).await;
    let deep = make(&base, &format!("a/b/c/{CART}"));
    until(&mut pods, &[web, cart, deep]).await;
}

#[tokio::test]
async fn a_pod_is_gone_with_its_directory_and_a_new_one_has_another_id() {
    let base = tempfile::tempdir().unwrap();
    let web = make(&base, WEB_SLICE);
    let cart = make(&base, CART);
    let mut pods = followed(&base).await;
    until(&mut pods, &[web, cart]).await;

    remove(&base, WEB_SLICE);
    until(&mut pods, &[cart]).await;
    remove(&base, "kubepods");
    until(&mut pods, &[]).await;
    // The branch is another one now, and is watched as well.
    let cart = make(&base, CART);
    until(&mut pods, &[cart]).await;
    remove(&base, CART);
    until(&mut pods, &[]).await;
}

#[tokio::test]
async fn what_a_pod_makes_of_its_own_cgroup_is_not_looked_at() {
    let base = tempfile::tempdir().unwrap();
    let web = make(&base, WEB_SLICE);
    make(&base, &format!("{WEB_SLICE}/{CART}"));
    let mut pods = followed(&base).await;
    until(&mut pods, &[web]).await;

    make(&base, &format!("{WEB_SLICE}/cri-containerd-1.scope/{CART}"));
    let cart = make(&base, CART);
    until(&mut pods, &[web, cart]).await;
}

#[test]
fn lost_events_are_made_up_for() {
    let base = tempfile::tempdir().unwrap();
    let web = make(&base, WEB_SLICE);
    let inotify = Inotify::init().unwrap();
    let mut tree = Tree::new(base.path().to_owned(), inotify.watches());
    tree.read_all().unwrap();
    let watch = tree.found.watched.keys().next().unwrap().clone();
    remove(&base, WEB_SLICE);
    let cart = make(&base, CART);
    assert_eq!(tree.pods().first().map(|(_, inode)| *inode), Some(web));

    tree.take(vec![EventOwned {
        wd: watch,
        mask: EventMask::Q_OVERFLOW,
        cookie: 0,
        name: None,
    }])
    .unwrap();

    let inodes: Vec<_> = tree.pods().iter().map(|(_, inode)| *inode).collect();
    assert_eq!(inodes, [cart]);
}

#[test]
fn pods_stay_known_while_their_base_cannot_be_read() {
    let base = tempfile::tempdir().unwrap();
    let web = make(&base, WEB_SLICE);
    let inotify = Inotify::init().unwrap();
    let mut tree = Tree::new(base.path().to_owned(), inotify.watches());
    tree.read_all().unwrap();
    base.close().unwrap();

    assert!(tree.read_all().is_err());

    let inodes: Vec<_> = tree.pods().iter().map(|(_, inode)| *inode).collect();
    assert_eq!(inodes, [web]);
}

#[tokio::test]
async fn a_base_that_is_not_there_is_an_error_that_names_it() {
    let base = PathBuf::from("/nowhere/cgroup");

    let outcome = watch_pod_cgroups(&TaskTracker::new(), CancellationToken::new(), base).await;

    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("/nowhere/cgroup"), "{error}");
}
