//! A directory that changes while it is followed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

/// A source at work on a directory of its own.
struct Fixture {
    directory: TempDir,
    changes: mpsc::Receiver<Change>,
    health: watch::Receiver<SourceHealth>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), SourceError>>,
}

/// Far more than any change may take; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

impl Fixture {
    /// Follows a directory of these files from the start; what they declare has been told.
    fn start(files: &[(&str, String)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        Self::follow(directory, "")
    }

    /// Follows `directory`/`below`.
    fn follow(directory: TempDir, below: &str) -> Self {
        let (sender, changes) = mpsc::channel(64);
        let (health, published) = watch::channel(SourceHealth::Listing);
        let stop = CancellationToken::new();
        let path = directory.path().join(below);
        Self {
            directory,
            changes,
            health: published,
            task: tokio::spawn(run(path, interest(), sender, health, stop.clone())),
            stop,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The next change: `+name cluster-ip` or `-name` for services, `+node`, `-node`, `listed`.
    async fn told(&mut self) -> String {
        let change = tokio::time::timeout(PATIENCE, self.changes.recv()).await;
        match change
            .expect("a change in time")
            .expect("the source is at work")
        {
            Change::Service(name, Some(service)) => format!("+{name} {}", service.cluster_ips[0]),
            Change::Service(name, None) | Change::Slice(name, None) => format!("-{name}"),
            Change::Slice(name, Some(slice)) => format!("+{name} of {}", slice.service),
            Change::Node(Some(_)) => "+node".to_owned(),
            Change::Node(None) => "-node".to_owned(),
            Change::ServiceCidr(name, Some(networks)) => {
                let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
                format!("+{name} {}", networks.join(" "))
            }
            Change::ServiceCidr(name, None) => format!("-{name}"),
            Change::Pod(name, pod) => {
                format!("{}{name} pod", if pod.is_some() { "+" } else { "-" })
            }
            Change::Namespace(name, namespace) => {
                format!(
                    "{}{name} namespace",
                    if namespace.is_some() { "+" } else { "-" }
                )
            }
            Change::Listed => "listed".to_owned(),
        }
    }

    /// All changes up to `listed`.
    async fn listed(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while all.last().is_none_or(|last| last != "listed") {
            all.push(self.told().await);
        }
        all
    }

    /// Waits until everything done so far has been read: a mark is made and its change awaited.
    /// Panics if anything else is told before it.
    async fn nothing_but(&mut self, mark: &str) {
        self.write("zz-mark.yaml", &service(mark, "10.96.9.9"));
        assert_eq!(self.told().await, format!("+default/{mark} 10.96.9.9"));
    }
}

fn interest() -> Interest {
    Interest {
        node_name: "worker-1".into(),
        has_pods: true,
    }
}

fn service(name: &str, cluster_ip: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{clusterIP: {cluster_ip}, ports: [{{port: 80}}]}}\n"
    )
}

fn slice(name: &str) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
         metadata: {{name: {name}, labels: {{kubernetes.io/service-name: web}}}}\n\
         endpoints: [{{addresses: [10.0.0.1]}}]\n"
    )
}

const NODE: &str = "---\napiVersion: v1\nkind: Node\nmetadata: {name: worker-1}\n";

#[tokio::test]
async fn all_is_told_then_listed() {
    let all = format!("{}{}{NODE}", service("web", "10.96.0.1"), slice("web-1"));
    let mut fixture = Fixture::start(&[("all.yaml", all)]);

    let told = fixture.listed().await;

    let expected = [
        "+default/web 10.96.0.1",
        "+default/web-1 of default/web",
        "+node",
        "listed",
    ];
    assert_eq!(told, expected);
    fixture
        .health
        .wait_for(|health| *health == SourceHealth::Connected)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_empty_directory_is_listed_and_has_no_node() {
    let mut fixture = Fixture::start(&[]);

    assert_eq!(fixture.listed().await, ["-node", "listed"]);
}

#[tokio::test]
async fn only_differences_are_told() {
    let both = service("a", "10.96.0.1") + &service("b", "10.96.0.2");
    let mut fixture = Fixture::start(&[("x.yaml", both)]);
    fixture.listed().await;

    fixture.write(
        "x.yaml",
        &(service("a", "10.96.0.1") + &service("b", "10.96.0.3")),
    );
    assert_eq!(fixture.told().await, "+default/b 10.96.0.3");

    fixture.write("y.yml", &service("c", "10.96.0.4"));
    assert_eq!(fixture.told().await, "+default/c 10.96.0.4");

    fs::remove_file(fixture.path("x.yaml")).unwrap();
    assert_eq!(fixture.told().await, "-default/a");
    assert_eq!(fixture.told().await, "-default/b");
}

#[tokio::test]
async fn a_file_that_is_renamed_over_or_away_is_noticed() {
    let mut fixture = Fixture::start(&[("x.yaml", service("a", "10.96.0.1"))]);
    fixture.listed().await;

    fixture.write(".x.yaml.tmp", &service("a", "10.96.0.2"));
    fs::rename(fixture.path(".x.yaml.tmp"), fixture.path("x.yaml")).unwrap();
    assert_eq!(fixture.told().await, "+default/a 10.96.0.2");

    fs::rename(fixture.path("x.yaml"), fixture.path("y.yaml")).unwrap();
    fixture.nothing_but("mark").await;

    fs::rename(fixture.path("y.yaml"), fixture.path("y.yaml.bak")).unwrap();
    assert_eq!(fixture.told().await, "-default/a");
}

#[tokio::test]
async fn a_broken_file_stays_in_force_until_repaired() {
    let mut fixture = Fixture::start(&[("x.yaml", service("a", "10.96.0.1"))]);
    fixture.listed().await;

    fixture.write("x.yaml", "kind: [Service\n");
    fixture.nothing_but("first").await;

    fixture.write("x.yaml", &service("a", "10.96.0.2"));
    assert_eq!(fixture.told().await, "+default/a 10.96.0.2");
}

#[tokio::test]
async fn a_broken_file_stays_in_force_until_deleted() {
    let mut fixture = Fixture::start(&[("x.yaml", service("a", "10.96.0.1"))]);
    fixture.listed().await;

    fixture.write("x.yaml", "kind: [Service\n");
    fixture.nothing_but("mark").await;
    fs::remove_file(fixture.path("x.yaml")).unwrap();

    assert_eq!(fixture.told().await, "-default/a");
}

#[tokio::test]
async fn a_file_that_is_broken_from_the_start_holds_up_nothing() {
    let broken = ("a.yaml", "kind: [Service\n".to_owned());
    let sound = ("b.yaml", service("b", "10.96.0.1"));
    let mut fixture = Fixture::start(&[broken, sound]);

    let told = fixture.listed().await;

    assert_eq!(told, ["-node", "+default/b 10.96.0.1", "listed"]);
}

#[tokio::test]
async fn of_two_declarations_the_first_file_by_name_is_in_force() {
    let mut fixture = Fixture::start(&[
        ("b.yaml", service("web", "10.96.0.2")),
        ("a.yaml", service("web", "10.96.0.1")),
    ]);
    assert_eq!(fixture.listed().await[1], "+default/web 10.96.0.1");

    fixture.write("b.yaml", &service("web", "10.96.0.3"));
    fixture.nothing_but("mark").await;
    fs::remove_file(fixture.path("a.yaml")).unwrap();

    assert_eq!(fixture.told().await, "+default/web 10.96.0.3");
}

#[tokio::test]
async fn a_namespace_left_out_is_default() {
    let explicit =
        service("web", "10.96.0.2").replace("{name: web}", "{namespace: default, name: web}");
    let mut fixture = Fixture::start(&[
        ("a.yaml", service("web", "10.96.0.1")),
        ("b.yaml", explicit),
    ]);

    let told = fixture.listed().await;

    assert_eq!(told, ["-node", "+default/web 10.96.0.1", "listed"]);
}

#[tokio::test]
async fn an_object_that_becomes_of_no_concern_is_gone() {
    let mut fixture = Fixture::start(&[("x.yaml", service("web", "10.96.0.1"))]);
    fixture.listed().await;

    fixture.write("x.yaml", &service("web", "None"));

    assert_eq!(fixture.told().await, "-default/web");
}

#[tokio::test]
async fn the_node_may_come_and_go() {
    let mut fixture = Fixture::start(&[]);
    fixture.listed().await;

    fixture.write("node.yaml", NODE);
    assert_eq!(fixture.told().await, "+node");
    fs::remove_file(fixture.path("node.yaml")).unwrap();
    assert_eq!(fixture.told().await, "-node");
}

#[tokio::test]
async fn service_cidrs_may_come_change_and_go() {
    let cidr = |network: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {{name: all}}\n\
             spec: {{cidrs: [{network}]}}\n"
        )
    };
    let mut fixture = Fixture::start(&[("a.yaml", cidr("10.96.0.0/16"))]);
    assert_eq!(
        fixture.listed().await,
        ["-node", "+all 10.96.0.0/16", "listed"]
    );

    fixture.write("a.yaml", &cidr("10.97.0.0/16"));
    assert_eq!(fixture.told().await, "+all 10.97.0.0/16");
    fs::remove_file(fixture.path("a.yaml")).unwrap();
    assert_eq!(fixture.told().await, "-all");
}

#[tokio::test]
async fn hidden_files_and_other_names_are_not_read() {
    let hidden = [".x.yaml", ".#x.yaml", "x.yaml.swp", "x.txt", "yaml"];
    let files = hidden.map(|name| (name, service("hidden", "10.96.0.1")));
    let mut fixture = Fixture::start(&files);
    fs::create_dir(fixture.path("directory.yaml")).unwrap();

    assert_eq!(fixture.listed().await, ["-node", "listed"]);
    fixture.nothing_but("mark").await;
}

/// Makes `..data` point to `version`, as the kubelet does for a mounted `ConfigMap`.
fn publish(directory: &Path, version: &str, content: &str) {
    fs::create_dir(directory.join(version)).unwrap();
    fs::write(directory.join(version).join("x.yaml"), content).unwrap();
    symlink(version, directory.join("..data_tmp")).unwrap();
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_through_its_symbolic_link() {
    let directory = tempfile::tempdir().unwrap();
    publish(directory.path(), "..1", &service("web", "10.96.0.1"));
    symlink("..data/x.yaml", directory.path().join("x.yaml")).unwrap();
    let mut fixture = Fixture::follow(directory, "");
    assert_eq!(fixture.listed().await[1], "+default/web 10.96.0.1");

    publish(
        fixture.directory.path(),
        "..2",
        &service("web", "10.96.0.2"),
    );

    assert_eq!(fixture.told().await, "+default/web 10.96.0.2");
}

#[tokio::test]
async fn a_directory_that_vanishes_removes_nothing_and_may_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("manifests");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("x.yaml"), service("web", "10.96.0.1")).unwrap();
    let mut fixture = Fixture::follow(directory, "manifests");
    fixture.listed().await;

    fs::rename(&below, fixture.path("elsewhere")).unwrap();
    let is_away = |health: &SourceHealth| matches!(health, SourceHealth::Retrying { .. });
    fixture.health.wait_for(is_away).await.unwrap();
    assert!(fixture.changes.try_recv().is_err());

    fs::create_dir(&below).unwrap();
    fs::write(below.join("x.yaml"), service("web", "10.96.0.2")).unwrap();
    // Once or, if it was looked at in between, first as gone.
    let mut told = fixture.told().await;
    if told == "-default/web" {
        told = fixture.told().await;
    }
    assert_eq!(told, "+default/web 10.96.0.2");

    // The directory that has the name now is the one that is watched.
    fs::write(below.join("x.yaml"), service("web", "10.96.0.3")).unwrap();
    assert_eq!(fixture.told().await, "+default/web 10.96.0.3");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let missing = directory.path().join("missing");
    let try_it = async |path: &Path| {
        let (changes, _kept) = mpsc::channel(1);
        let (health, _) = watch::channel(SourceHealth::Listing);
        let stop = CancellationToken::new();
        run(path.to_owned(), interest(), changes, health, stop)
            .await
            .unwrap_err()
    };

    for path in [&missing, &file] {
        let error = try_it(path).await;
        assert!(matches!(error, SourceError::Directory { .. }), "{error:?}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_pod_and_its_namespace_are_told_and_their_end() {
    let pod = "apiVersion: v1\nkind: Pod\nspec: {nodeName: worker-1}\nmetadata:\n  \
               {name: web, namespace: shop, uid: 0b3a2c1d-1111-4222-8333-abcdefabcdef}\n";
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let mut fixture = Fixture::start(&[("pod.yaml", pod.to_owned())]);
    assert_eq!(fixture.listed().await, ["-node", "+shop/web pod", "listed"]);

    fixture.write("namespace.yaml", namespace);
    assert_eq!(fixture.told().await, "+shop namespace");
    fs::remove_file(fixture.path("pod.yaml")).unwrap();
    assert_eq!(fixture.told().await, "-shop/web pod");
    fs::remove_file(fixture.path("namespace.yaml")).unwrap();
    assert_eq!(fixture.told().await, "-shop namespace");
}

#[tokio::test]
async fn stopping_ends_it() {
    let mut fixture = Fixture::start(&[]);
    fixture.listed().await;

    fixture.stop.cancel();

    fixture.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_receiver_that_is_gone_ends_it() {
    let fixture = Fixture::start(&[]);

    drop(fixture.changes);

    fixture.task.await.unwrap().unwrap();
}
