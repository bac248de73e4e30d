//! What the chart renders of several sets of values, compared with `golden.yaml` beside them.
//! `NETPROXY_UPDATE_GOLDEN=1` writes these files anew.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{binary, control_plane::helm};

use super::CHART;

const UPDATE: &str = "NETPROXY_UPDATE_GOLDEN";
/// Where the sets are, one directory each.
const SETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/control_plane/chart");
/// What the chart needs at least.
const HOST: &str = "apiServer.host=10.0.0.10";
/// Files that the chart has whole in what it renders, how far they are moved in there, and what stands for
/// them in `golden.yaml`.
const FILES: [(&str, usize, &str); 2] = [
    ("files/alerts.yaml", 2, "  (files/alerts.yaml)"),
    ("files/dashboard.json", 4, "    (files/dashboard.json)"),
];

/// Renders `values.yaml` of the set for this release of Kubernetes.
fn render(set: &str, kubernetes: &str) -> Result<String> {
    let values = Path::new(SETS).join(set).join("values.yaml");
    let values = values.to_str().context("the path is UTF-8")?;
    helm(&[
        "template",
        "netproxy",
        CHART,
        "--namespace=kube-system",
        "--kube-version",
        kubernetes,
        "--values",
        values,
    ])
}

/// Compares what is rendered with what is wanted.
fn compare(set: &str, kubernetes: &str) -> Result<()> {
    let rendered = without_files(&render(set, kubernetes)?)?;
    let golden = Path::new(SETS).join(set).join("golden.yaml");
    if env::var_os(UPDATE).is_some() {
        fs::write(&golden, &rendered)?;
    }
    let wanted = fs::read_to_string(&golden)
        .with_context(|| format!("{}: write it with {UPDATE}=1", golden.display()))?;
    let differs = rendered.lines().zip(wanted.lines()).find(|(a, b)| a != b);
    ensure!(
        rendered == wanted,
        "{} is rendered otherwise, first here (rendered, wanted): {differs:#?}\nIf that is right, \
         write it anew with {UPDATE}=1",
        golden.display()
    );
    Ok(())
}

/// What is rendered, but for the files.
fn without_files(rendered: &str) -> Result<String> {
    let mut rendered = rendered.to_owned();
    for (file, by, stand_in) in FILES {
        let text = fs::read_to_string(Path::new(CHART).join(file))?;
        let indent = " ".repeat(by);
        let moved: Vec<_> = text.lines().map(|line| format!("{indent}{line}")).collect();
        // Helm's `nindent` moves empty lines, too.
        rendered = rendered.replace(&moved.join("\n"), stand_in);
    }
    Ok(rendered)
}

/// Why these values are refused.
fn refusal(values: &[&str]) -> Result<String> {
    let mut words = vec!["template", "netproxy", CHART];
    for value in values {
        words.extend(["--set", value]);
    }
    let error = helm(&words).err().context("they are not refused")?;
    Ok(format!("{error:#}"))
}

#[test]
fn lint_has_nothing_to_say() -> Result<()> {
    helm(&["lint", "--strict", CHART, "--set", HOST]).map(drop)
}

#[test]
fn values_that_were_not_set_are_rendered_with_the_defaults() -> Result<()> {
    compare("default", "1.36.0")
}

#[test]
fn without_ending_sockets_and_init_no_capability_of_theirs_and_no_pid_namespace_is_asked_for()
-> Result<()> {
    compare("frugal", "1.36.0")?;
    let rendered = render("frugal", "1.36.0")?;
    for word in ["hostPID", "SYS_ADMIN", "SYS_PTRACE", "initContainers"] {
        ensure!(!rendered.contains(word), "{word}");
    }
    Ok(())
}

#[test]
fn every_value_comes_through() -> Result<()> {
    compare("everything", "1.36.0")
}

#[test]
fn what_prometheus_and_grafana_need_is_rendered_when_it_is_switched_on() -> Result<()> {
    compare("monitored", "1.36.0")
}

#[test]
fn a_service_monitor_of_agents_that_nobody_reaches_is_refused() -> Result<()> {
    for address in ["127.0.0.1:10249", "127.0.0.1", "[::1]:10249", "::1"] {
        let address = format!("config.metricsBindAddress={address}");
        let message = refusal(&[HOST, "metrics.serviceMonitor.enabled=true", &address])?;
        ensure!(
            message.contains("no Prometheus reaches"),
            "{address}: {message}"
        );
    }
    Ok(())
}

#[test]
fn the_service_that_is_scraped_has_the_agents_port() -> Result<()> {
    for (address, port) in [
        ("", "10249"),
        ("10.0.0.1", "10249"),
        ("::", "10249"),
        ("0.0.0.0:9100", "9100"),
        ("[::]:9100", "9100"),
    ] {
        let address = format!("config.metricsBindAddress={address}");
        let on = "metrics.serviceMonitor.enabled=true";
        let words = [
            "template", "netproxy", CHART, "--set", HOST, "--set", on, "--set", &address,
        ];
        let rendered = helm(&words)?;
        let port = format!("    targetPort: {port}\n");
        ensure!(rendered.contains(&port), "{address}: not {port}");
    }
    Ok(())
}

#[test]
fn the_file_that_kubeadm_gave_to_kube_proxy_is_taken_whole_but_for_what_is_the_charts() -> Result<()>
{
    compare("kubeadm", "1.36.0")
}

#[test]
fn servers_that_do_not_know_the_field_are_told_of_app_armor_by_annotation() -> Result<()> {
    compare("old", "1.29.0")
}

#[test]
fn the_agent_understands_the_file_that_is_rendered() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("config.yaml");
    for set in ["default", "frugal", "everything", "kubeadm", "monitored"] {
        let rendered = render(set, "1.36.0")?;
        let (_, text) = rendered
            .split_once("  config.yaml: |\n")
            .context("no file")?;
        let text: Vec<_> = text
            .lines()
            .map_while(|line| line.strip_prefix("    "))
            .collect();
        ensure!(text.len() > 4, "{text:?}");
        fs::write(&file, text.join("\n"))?;

        let understood = Command::new(binary::find("netproxy")?)
            .args(["run", "--config"])
            .arg(&file)
            .arg("--write-config-to")
            .arg(directory.path().join("understood.yaml"))
            .output()?;

        let log = String::from_utf8_lossy(&understood.stderr);
        ensure!(understood.status.success(), "{set}: {log}");
        ensure!(!log.contains("WARN"), "{set}: {log}");
    }
    Ok(())
}

#[test]
fn the_image_is_the_one_that_is_packed() -> Result<()> {
    let rendered = render("default", "1.36.0")?;

    let image = format!(
        "image: \"localhost/netproxy:{}\"",
        env!("CARGO_PKG_VERSION")
    );
    ensure!(rendered.matches(&image).count() == 2, "{image}");
    Ok(())
}

#[test]
fn what_is_missing_or_misspelt_is_refused_by_name() -> Result<()> {
    let missing = refusal(&[])?;
    ensure!(
        missing.contains("set apiServer.host to an address"),
        "{missing}"
    );

    for (value, named) in [
        ("updateStrtegy.type=OnDelete", "updateStrtegy"),
        ("apiServer.host=https://10.0.0.10:6443", "host"),
        ("netproxyConfig.terminateUdp=never", "terminateUdp"),
        ("netproxyConfig.server=https://x", "server"),
        ("config.healthzBindAddress=127.0.0.1", "healthzBindAddress"),
        ("metrics.serviceMonitor.interval=often", "interval"),
        ("metrics.dashboard.enable=true", "enable"),
    ] {
        let message = refusal(&[HOST, value])?;
        ensure!(message.contains(named), "{value}: {message}");
    }
    Ok(())
}
