//! The components, their Go modules and how their releases are built.

use anyhow::{Context as _, Result};

/// The Go module of one component and what is built from it.
#[derive(Debug)]
pub(crate) struct Component {
    /// Its folder under `tests/control-plane/`, with `go.mod` and `go.sum`.
    pub(crate) folder: &'static str,
    pub(crate) programs: &'static [Program],
    module: &'static str,
    tags: &'static str,
    /// Variables that its release process fills in; see [`Release::fill`].
    variables: &'static [(&'static str, &'static str)],
}

/// One program of a component.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// A released version, such as `v1.36.3`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Release(String);

pub(crate) const COMPONENTS: &[Component] = &[
    Component {
        folder: "etcd",
        module: "go.etcd.io/etcd/server/v3",
        tags: "",
        variables: &[],
        programs: &[Program {
            name: "etcd",
            package: "go.etcd.io/etcd/server/v3",
        }],
    },
    Component {
        folder: "kubernetes",
        module: "k8s.io/kubernetes",
        tags: "selinux,notest,grpcnotrace",
        // Without these an API server calls itself v0.0.0, which clients refuse to talk to.
        variables: &[
            ("k8s.io/component-base/version.gitVersion", "{version}"),
            ("k8s.io/component-base/version.gitMajor", "{major}"),
            ("k8s.io/component-base/version.gitMinor", "{minor}"),
            ("k8s.io/component-base/version.gitTreeState", "clean"),
            ("k8s.io/client-go/pkg/version.gitVersion", "{version}"),
            ("k8s.io/client-go/pkg/version.gitMajor", "{major}"),
            ("k8s.io/client-go/pkg/version.gitMinor", "{minor}"),
            ("k8s.io/client-go/pkg/version.gitTreeState", "clean"),
        ],
        programs: &[
            Program {
                name: "kube-apiserver",
                package: "k8s.io/kubernetes/cmd/kube-apiserver",
            },
            Program {
                name: "kubectl",
                package: "k8s.io/kubernetes/cmd/kubectl",
            },
            Program {
                name: "kube-controller-manager",
                package: "k8s.io/kubernetes/cmd/kube-controller-manager",
            },
            Program {
                name: "kube-proxy",
                package: "k8s.io/kubernetes/cmd/kube-proxy",
            },
        ],
    },
    Component {
        folder: "kind",
        module: "sigs.k8s.io/kind",
        tags: "",
        variables: &[],
        programs: &[Program {
            name: "kind-config",
            package: ".",
        }],
    },
    Component {
        folder: "helm",
        module: "helm.sh/helm/v4",
        tags: "",
        variables: &[("helm.sh/helm/v4/internal/version.version", "{version}")],
        programs: &[Program {
            name: "helm",
            package: "helm.sh/helm/v4/cmd/helm",
        }],
    },
];

impl Component {
    /// The release that `go_mod` pins.
    pub(crate) fn release(&self, go_mod: &str) -> Result<Release> {
        go_mod
            .lines()
            .map(|line| line.trim().trim_start_matches("require "))
            .filter_map(|line| line.split_once(' '))
            .find(|(module, _)| *module == self.module)
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .map(|version| Release(version.to_owned()))
            .with_context(|| {
                format!(
                    "tests/control-plane/{}/go.mod does not require {}",
                    self.folder, self.module
                )
            })
    }

    /// The flags of `go build`: pinned, and the same bytes wherever it runs.
    pub(crate) fn flags(&self, release: &Release) -> Vec<String> {
        let mut linker_flags = vec!["-s".to_owned(), "-w".to_owned()];
        linker_flags.extend(
            self.variables
                .iter()
                .map(|(name, value)| format!("-X {name}={}", release.fill(value))),
        );
        vec![
            "-mod=readonly".to_owned(),
            "-buildvcs=false".to_owned(),
            "-trimpath".to_owned(),
            format!("-tags={}", self.tags),
            format!("-ldflags={}", linker_flags.join(" ")),
        ]
    }

    /// Everything that decides what the programs are, for the stamp: `sources` are the folder's files.
    pub(crate) fn recipe(&self, release: &Release, sources: &[String]) -> String {
        let flags = self.flags(release).join("\n");
        format!("{:?}\n{flags}\n{}", self.programs, sources.join("\n"))
    }
}

impl Release {
    pub(crate) fn version(&self) -> &str {
        &self.0
    }

    /// `template` with this release's `{version}`, `{major}` and `{minor}`.
    fn fill(&self, template: &str) -> String {
        let mut numbers = self.0.trim_start_matches('v').split('.');
        let major = numbers.next().unwrap_or_default();
        let minor = numbers.next().unwrap_or_default();
        template
            .replace("{version}", &self.0)
            .replace("{major}", major)
            .replace("{minor}", minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_MOD: &str = "module example.test/tools\n\
        go 1.26.0\n\
        tool (\n\tk8s.io/kubernetes/cmd/kubectl\n)\n\
        require (\n\tk8s.io/kube-openapi v0.0.1 // indirect\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\n\
        replace (\n\tk8s.io/api => k8s.io/api v0.36.3\n)\n";

    fn kubernetes() -> &'static Component {
        COMPONENTS
            .iter()
            .find(|component| component.folder == "kubernetes")
            .unwrap()
    }

    #[test]
    fn the_release_is_what_go_mod_requires_in_a_block_or_on_one_line() -> Result<()> {
        let block = kubernetes().release(GO_MOD)?;
        let line = kubernetes().release("require k8s.io/kubernetes v1.37.0\n")?;

        assert_eq!(block, Release("v1.36.3".to_owned()));
        assert_eq!(line, Release("v1.37.0".to_owned()));
        Ok(())
    }

    #[test]
    fn a_go_mod_without_the_module_is_an_error_that_names_both() {
        let message = kubernetes().release("go 1.26.0\n").unwrap_err().to_string();

        assert!(
            message.contains("tests/control-plane/kubernetes/go.mod"),
            "{message}"
        );
        assert!(message.contains("k8s.io/kubernetes"), "{message}");
    }

    #[test]
    fn the_components_of_kubernetes_know_their_version() {
        let flags = kubernetes().flags(&Release("v1.36.3".to_owned())).join(" ");

        assert!(
            flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.3"),
            "{flags}"
        );
        assert!(
            flags.contains("-X k8s.io/component-base/version.gitMinor=36"),
            "{flags}"
        );
        assert!(!flags.contains('{'), "a placeholder is left: {flags}");
    }

    #[test]
    fn another_pin_sum_or_flag_is_another_recipe() {
        let release = Release("v1.36.3".to_owned());
        let sources = ["mod".to_owned(), "sum".to_owned()];
        let recipe = kubernetes().recipe(&release, &sources);

        for (file, other) in [(0, "mod 2"), (1, "sum 2")] {
            let mut changed = sources.clone();
            changed[file] = other.to_owned();
            assert_ne!(kubernetes().recipe(&release, &changed), recipe);
        }
        assert_ne!(COMPONENTS[0].recipe(&release, &sources), recipe);
    }

    #[test]
    fn every_component_is_pinned_with_its_sums() -> Result<()> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/control-plane");
        for component in COMPONENTS {
            let folder = root.join(component.folder);
            let release = component.release(&std::fs::read_to_string(folder.join("go.mod"))?)?;
            let sums = std::fs::read_to_string(folder.join("go.sum"))?;
            let pinned = format!("{} {} h1:", component.module, release.version());
            assert!(sums.contains(&pinned), "no sum of {pinned}");
        }
        Ok(())
    }
}
