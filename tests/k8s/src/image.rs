//! Container images made of programs that lie here: an OCI image layout in one tar file, which `ctr images import` takes.
//!
//! Specification: OCI image format 1.0 (layout, index, manifest, configuration). One layer, not compressed, without times, so that equal
//! contents are equal images.

mod tar;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use tar::Archive;

/// What an image consists of.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// The name under which pods ask for it, complete with registry and tag.
    pub name: String,
    /// Static programs: where they are here, and where they are in the image.
    pub programs: Vec<(PathBuf, &'static str)>,
    /// The command line of a container that names none.
    pub entrypoint: Vec<&'static str>,
}

/// A part of the image, named by its digest.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest, bytes }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({
            "mediaType": media_type,
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes.len(),
        })
    }
}

impl Image {
    /// Writes the image.
    ///
    /// # Errors
    /// A program that cannot be read, or a file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let layer = Blob::new(self.layer()?);
        let configuration = Blob::json(&json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/bin:/opt/cni/bin"],
                "Entrypoint": self.entrypoint,
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)] },
        }));
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": configuration.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
        }));
        let mut described = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
        described["platform"] = json!({ "architecture": architecture(), "os": "linux" });
        described["annotations"] = json!({ "io.containerd.image.name": self.name });
        let index = json!({ "schemaVersion": 2, "manifests": [described] });

        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut archive = Archive::new(BufWriter::new(file));
        archive.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        archive.file("index.json", 0o644, index.to_string().as_bytes())?;
        for blob in [configuration, manifest, layer] {
            archive.file(&format!("blobs/sha256/{}", blob.digest), 0o644, &blob.bytes)?;
        }
        archive.finish()?.flush()?;
        Ok(())
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::new(Vec::new());
        let targets = self.programs.iter().map(|(_, target)| target.trim_start_matches('/'));
        let mut directories = BTreeSet::from(["tmp"]);
        for target in targets {
            let above = target.match_indices('/').map(|(end, _)| &target[..end]);
            directories.extend(above);
        }
        for directory in directories {
            archive.directory(directory, if directory == "tmp" { 0o1777 } else { 0o755 })?;
        }
        for (source, target) in &self.programs {
            let program = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
            archive.file(target.trim_start_matches('/'), 0o755, &program)?;
        }
        archive.finish()
    }
}

/// The word that Go and OCI have for this machine.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_layout_that_names_its_parts_by_their_digests() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::write(&program, "an executable").unwrap();
        let image = Image {
            name: "docker.io/library/one:dev".to_owned(),
            programs: vec![(program, "/usr/local/bin/one")],
            entrypoint: vec!["/usr/local/bin/one"],
        };
        let path = directory.path().join("one.tar");
        image.write(&path).unwrap();
        let first = fs::read(&path).unwrap();
        image.write(&path).unwrap();
        assert_eq!(first, fs::read(&path).unwrap(), "equal contents are equal images");

        let listed = std::process::Command::new("tar").arg("-tf").arg(&path).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert_eq!(listed.lines().filter(|name| name.starts_with("blobs/sha256/")).count(), 3, "{listed}");
        let layer = image.layer().unwrap();
        fs::write(directory.path().join("layer.tar"), &layer).unwrap();
        let listed = std::process::Command::new("tar")
            .arg("-tvf")
            .arg(directory.path().join("layer.tar"))
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next_back()).collect();
        assert_eq!(names, ["tmp/", "usr/", "usr/local/", "usr/local/bin/", "usr/local/bin/one"]);
        assert!(listed.lines().next_back().unwrap().starts_with("-rwxr-xr-x 0/0"), "{listed}");
    }
}
