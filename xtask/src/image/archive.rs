//! The archive: an OCI image layout in a tar file, with Docker's own list beside it, so that
//! `ctr images import`, `kind load image-archive`, `podman load` and `docker load` all take it.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, ConfigBuilder, Descriptor, DescriptorBuilder,
    ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType,
    OciLayoutBuilder, Os, PlatformBuilder, RootFsBuilder, Sha256Digest,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::Name;
use super::contents::{Contents, Entry, PROGRAM};

/// Where containerd looks for the whole name (`images.AnnotationImageName`).
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Root: what the agent may do is left to it by its capabilities.
const USER: &str = "0:0";

/// The archive of an image of one layer.
pub(super) fn pack(contents: &Contents, name: &Name) -> Result<Vec<u8>> {
    let files = layer(contents).context("cannot pack the image's files")?;
    let layer = Blob::new(MediaType::ImageLayerGzip, compress(&files)?)?;
    let configuration = ImageConfigurationBuilder::default()
        .architecture(Arch::default())
        .os(Os::default())
        .config(
            ConfigBuilder::default()
                .user(USER)
                .env(["PATH=/usr/bin".to_owned()])
                .entrypoint([format!("/{PROGRAM}")])
                .build()?,
        )
        .rootfs(
            RootFsBuilder::default()
                .diff_ids([format!("sha256:{}", digest(&files))])
                .build()?,
        )
        .build()?;
    let configuration = Blob::of_json(MediaType::ImageConfig, &configuration)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(configuration.descriptor.clone())
        .layers([layer.descriptor.clone()])
        .build()?;
    let manifest = Blob::of_json(MediaType::ImageManifest, &manifest)?;
    let named = DescriptorBuilder::default()
        .media_type(MediaType::ImageManifest)
        .digest(manifest.descriptor.digest().clone())
        .size(manifest.descriptor.size())
        .platform(
            PlatformBuilder::default()
                .architecture(Arch::default())
                .os(Os::default())
                .build()?,
        )
        .annotations(HashMap::from([
            (CONTAINERD_NAME.to_owned(), name.to_string()),
            (ANNOTATION_REF_NAME.to_owned(), name.tag().to_owned()),
        ]))
        .build()?;
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests([named])
        .build()?;
    let layout = OciLayoutBuilder::default()
        .image_layout_version("1.0.0")
        .build()?;
    // Docker reads this one before its release 25.
    let docker = json!([{
        "Config": configuration.path(),
        "RepoTags": [name.to_string()],
        "Layers": [layer.path()],
    }]);

    let mut archive = Tar::new();
    archive.file("oci-layout", &json(&layout)?)?;
    archive.file("index.json", &json(&index)?)?;
    archive.file("manifest.json", &json(&docker)?)?;
    archive.directory("blobs")?;
    archive.directory("blobs/sha256")?;
    for blob in [&configuration, &manifest, &layer] {
        archive.file(&blob.path(), &blob.bytes)?;
    }
    archive.finish().context("cannot pack the archive")
}

/// The image's files as the tar file that the layer is made of.
fn layer(contents: &Contents) -> io::Result<Vec<u8>> {
    let mut layer = Tar::new();
    for (path, entry) in contents.iter() {
        let path = path.to_string_lossy();
        match entry {
            // Sticky, as everywhere.
            Entry::Directory if path == "tmp" => {
                layer.entry(&path, EntryType::Directory, 0o1777, &[])?;
            }
            Entry::Directory => layer.directory(&path)?,
            Entry::File { bytes, mode } => layer.entry(&path, EntryType::Regular, *mode, bytes)?,
        }
    }
    layer.finish()
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // Without a time and a name in the head.
    let mut compressor = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    compressor.write_all(bytes)?;
    compressor.finish()
}

/// A tar file that tells nothing of when and by whom it was made.
struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, EntryType::Directory, 0o755, &[])
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry(path, EntryType::Regular, 0o644, bytes)
    }

    fn entry(&mut self, path: &str, kind: EntryType, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        let end = if kind == EntryType::Directory {
            "/"
        } else {
            ""
        };
        self.0
            .append_data(&mut header, format!("{path}{end}"), bytes)
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        self.0.into_inner()
    }
}

/// Bytes that are named by their digest.
struct Blob {
    descriptor: Descriptor,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(kind: MediaType, bytes: Vec<u8>) -> Result<Self> {
        let digest = Sha256Digest::from_str(&digest(&bytes))?;
        Ok(Self {
            descriptor: Descriptor::new(kind, bytes.len() as u64, digest),
            bytes,
        })
    }

    fn of_json(kind: MediaType, document: &impl serde::Serialize) -> Result<Self> {
        Self::new(kind, json(document)?)
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.descriptor.digest().digest())
    }
}

/// By way of a [`Value`], whose names are sorted: those of the types' own maps are in any order.
fn json(document: &impl serde::Serialize) -> Result<Vec<u8>> {
    let value: Value = serde_json::to_value(document)?;
    Ok(serde_json::to_vec(&value)?)
}

/// SHA-256 in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}
