//! The archive as those read it who load it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;

use super::*;
use crate::workspace::Workspace;

/// Some program that is linked dynamically.
const OTHER: &str = "/bin/true";

/// Path and bytes of every file of a tar file; a directory has none.
fn unpack(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(bytes);
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, bytes);
    }
    files
}

fn contents() -> Contents {
    let workspace = Workspace::locate().unwrap();
    Contents::of_program(Path::new(OTHER), workspace.root()).unwrap()
}

fn name() -> Name {
    "registry.example/netproxy:1.2.3".parse().unwrap()
}

/// The archive's files, and its documents by what they are.
struct Loaded {
    files: BTreeMap<String, Vec<u8>>,
    index: Value,
    manifest: Value,
    configuration: Value,
    layer: Vec<u8>,
}

impl Loaded {
    /// Follows the digests from the index on; each must be right.
    fn new() -> Self {
        let files = unpack(&pack(&contents(), &name()).unwrap());
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = parse(&files["index.json"]);
        let manifest = parse(blob(&files, &index["manifests"][0]));
        let configuration = parse(blob(&files, &manifest["config"]));
        let compressed = blob(&files, &manifest["layers"][0]);
        let mut layer = Vec::new();
        GzDecoder::new(compressed).read_to_end(&mut layer).unwrap();
        Self {
            files,
            index,
            manifest,
            configuration,
            layer,
        }
    }
}

/// What a descriptor describes, in the size and with the digest that it says.
fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let text = descriptor["digest"].as_str().unwrap();
    let bytes = &files[&text.replace("sha256:", "blobs/sha256/")];
    assert_eq!(text, format!("sha256:{}", digest(bytes)));
    assert_eq!(descriptor["size"].as_u64().unwrap(), bytes.len() as u64);
    bytes
}

#[test]
fn index_manifest_configuration_and_layer_agree_in_digests_and_sizes() {
    let loaded = Loaded::new();

    let media = "application/vnd.oci.image";
    assert_eq!(
        loaded.files["oci-layout"],
        br#"{"imageLayoutVersion":"1.0.0"}"#
    );
    assert_eq!(loaded.index["schemaVersion"], 2);
    assert_eq!(
        loaded.index["manifests"][0]["mediaType"],
        format!("{media}.manifest.v1+json")
    );
    assert_eq!(
        loaded.manifest["layers"][0]["mediaType"],
        format!("{media}.layer.v1.tar+gzip")
    );
    // Of the files as they are unpacked, not of the blob.
    assert_eq!(
        loaded.configuration["rootfs"],
        json!({"type": "layers", "diff_ids": [format!("sha256:{}", digest(&loaded.layer))]})
    );
}

#[test]
fn containerd_and_docker_are_told_the_same_name() {
    let loaded = Loaded::new();

    let annotations = &loaded.index["manifests"][0]["annotations"];
    assert_eq!(annotations[CONTAINERD_NAME], name().to_string());
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "1.2.3");
    let docker: Value = serde_json::from_slice(&loaded.files["manifest.json"]).unwrap();
    assert_eq!(docker[0]["RepoTags"], json!([name().to_string()]));
    for (path, descriptor) in [
        (&docker[0]["Config"], &loaded.manifest["config"]),
        (&docker[0]["Layers"][0], &loaded.manifest["layers"][0]),
    ] {
        let path = path.as_str().unwrap();
        let digest = descriptor["digest"].as_str().unwrap();
        assert_eq!(path, digest.replace("sha256:", "blobs/sha256/"));
    }
}

#[test]
fn it_runs_the_program_that_is_in_it_as_root_on_this_kind_of_machine() {
    let loaded = Loaded::new();

    let config = &loaded.configuration["config"];
    assert_eq!(config["User"], "0:0");
    assert_eq!(config["Entrypoint"], json!(["/usr/bin/netproxy"]));
    assert_eq!(config["Env"], json!(["PATH=/usr/bin"]));
    assert_eq!(loaded.configuration["os"], "linux");
    assert_eq!(
        loaded.configuration["architecture"],
        loaded.index["manifests"][0]["platform"]["architecture"]
    );
    let files = unpack(&loaded.layer);
    assert_eq!(files["usr/bin/netproxy"], std::fs::read(OTHER).unwrap());
    let mut layer = tar::Archive::new(loaded.layer.as_slice());
    let is_program = |entry: &tar::Entry<'_, &[u8]>| &*entry.path_bytes() == PROGRAM.as_bytes();
    let mut entries = layer.entries().unwrap().map(Result::unwrap);
    let program = entries.find(is_program).unwrap();
    assert_eq!(program.header().mode().unwrap(), 0o755);
}

#[test]
fn what_the_program_needs_to_start_is_in_it() {
    let files = unpack(&Loaded::new().layer);

    for needed in ["/libc.so.6", "/ld-linux"] {
        assert!(
            files.keys().any(|path| path.contains(needed)),
            "{needed}: {:?}",
            files.keys()
        );
    }
    for mounted in ["dev/", "etc/", "proc/", "sys/", "tmp/"] {
        assert!(files.contains_key(mounted), "{mounted}");
    }
    assert!(files.contains_key("etc/nsswitch.conf"));
}

#[test]
fn the_same_files_make_the_same_bytes() {
    let first = pack(&contents(), &name()).unwrap();

    // The order in a hash map differs once in two times.
    for _ in 0..4 {
        assert!(pack(&contents(), &name()).unwrap() == first);
    }
}

#[test]
fn nothing_tells_when_or_by_whom_it_was_made() {
    let archive = pack(&contents(), &name()).unwrap();
    let layer = Loaded::new().layer;

    for bytes in [&archive, &layer] {
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 0);
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        }
    }
}
