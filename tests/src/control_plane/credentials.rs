//! Who is who: a certificate authority, the API server's certificate, the key that signs service
//! accounts' tokens, and users with tokens.
//!
//! The keys are made for one lab. The tokens are plain words: the network they open ends with the
//! lab, and has no way in.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

/// May do everything.
const ADMIN: User = User {
    name: "admin",
    token: "admin-of-the-lab",
    groups: "system:masters",
};
/// May do what a proxy may.
const AGENT: User = User {
    name: "system:kube-proxy",
    token: "agent-of-the-lab",
    groups: "",
};

/// By which names the API server is called, besides the addresses of the underlay.
const SERVER_NAMES: [&str; 8] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    "::1",
    // The first of the cluster IPs is that of `default/kubernetes`.
    "10.96.0.1",
];

/// A user of the cluster.
#[derive(Debug)]
struct User {
    name: &'static str,
    token: &'static str,
    groups: &'static str,
}

impl User {
    /// As the API server's file of tokens has it.
    fn line(&self) -> String {
        let Self {
            name,
            token,
            groups,
        } = self;
        format!("{token},{name},{name},\"{groups}\"\n")
    }
}

/// The files of a lab's credentials.
#[derive(Debug)]
pub(super) struct Credentials {
    directory: PathBuf,
    /// The certificate authority's certificate.
    pub(super) authority: PathBuf,
    /// Of [`ADMIN`].
    pub(super) admin_kubeconfig: PathBuf,
    /// Of [`AGENT`].
    pub(super) agent_kubeconfig: PathBuf,
}

impl Credentials {
    /// Makes them, for an API server at `address`.
    pub(super) fn create(directory: &Path, address: SocketAddr) -> Result<Self> {
        let credentials = Self {
            directory: directory.to_owned(),
            authority: directory.join("ca.crt"),
            admin_kubeconfig: directory.join("admin.kubeconfig"),
            agent_kubeconfig: directory.join("agent.kubeconfig"),
        };
        credentials
            .certify(address)
            .context("the API server cannot be certified")?;
        let key = KeyPair::generate().context("the key of service accounts cannot be made")?;
        credentials.write("service-accounts.key", &key.serialize_pem())?;
        credentials.write("service-accounts.pub", &key.public_key_pem())?;
        credentials.write("tokens.csv", &(ADMIN.line() + &AGENT.line()))?;
        for (path, user) in [
            (&credentials.admin_kubeconfig, &ADMIN),
            (&credentials.agent_kubeconfig, &AGENT),
        ] {
            write(path, &credentials.describe(address, user).to_string())?;
        }
        Ok(credentials)
    }

    /// The API server's arguments that name the files.
    pub(super) fn arguments(&self) -> Vec<String> {
        [
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("token-auth-file", "tokens.csv"),
            ("service-account-key-file", "service-accounts.pub"),
            ("service-account-signing-key-file", "service-accounts.key"),
        ]
        .map(|(option, file)| format!("--{option}={}", self.directory.join(file).display()))
        .into()
    }

    fn certify(&self, address: SocketAddr) -> Result<()> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, "netproxy lab");
        let key = KeyPair::generate()?;
        write(&self.authority, &authority.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(authority, key);

        let names = SERVER_NAMES.map(str::to_owned).into_iter();
        let names = names.chain([
            address.ip().to_string(),
            crate::addresses::GATEWAY_V6.to_string(),
        ]);
        let mut server = CertificateParams::new(names.collect::<Vec<_>>())?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        let key = KeyPair::generate()?;
        self.write("apiserver.crt", &server.signed_by(&key, &issuer)?.pem())?;
        self.write("apiserver.key", &key.serialize_pem())
    }

    /// A kubeconfig; JSON is YAML.
    fn describe(&self, address: SocketAddr, user: &User) -> serde_json::Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {
                "server": format!("https://{address}"),
                "certificate-authority": self.authority,
            }}],
            "users": [{"name": user.name, "user": {"token": user.token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user.name}}],
            "current-context": "lab",
        })
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        write(&self.directory.join(file), text)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
